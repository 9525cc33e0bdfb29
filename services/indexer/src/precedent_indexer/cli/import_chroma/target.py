"""One collection in the log: reads its messages, and publishes only if the log ends at a known sequence."""

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.log import JetStreamLog, read_stream
from precedent_indexer.cli.client import AnsweredWithError, Client, NoAnswer
from precedent_indexer.domain.messages import LogMessage
from precedent_indexer.errors import COMPARE_AND_SET_LOST, BusUnavailable, ImportFailed, JetStreamCode, JetStreamRefused
from precedent_schemas import catalogue
from precedent_schemas.failures import ERROR_CODES, ErrorReason
from precedent_schemas.subjects import EVENTS_STREAM, MSG_ID_HEADER, deletion_subject, event_subject

_EXPECTED_END: Final = "Nats-Expected-Last-Sequence"


class CollectionLog:
    """The events and deletions of one collection."""

    def __init__(self, bus: Bus, collection: str, client: Client) -> None:
        """`client` asks the indexer which items the index has."""
        self._bus = bus
        self._client = client
        self._log = JetStreamLog(bus)
        self.collection = collection

    async def end(self) -> tuple[int, bool]:
        """The last sequence of the log, and whether it still has every message that it ever stored.

        Raises:
            ImportFailed: there is no log.
            BusUnavailable: JetStream does not answer.
        """
        try:
            state = await self._log.state()
        except JetStreamRefused as error:
            if error.err_code == JetStreamCode.STREAM_NOT_FOUND:
                raise ImportFailed(f"no stream {EVENTS_STREAM}: create it with `precedent-indexer init`") from error
            raise
        return state.last_seq, state.messages == state.last_seq

    async def since(self, seq: int) -> AsyncIterator[LogMessage]:
        """Every event and deletion of the collection after `seq`: first the events in order, then the deletions."""
        for subject in (event_subject(self.collection, ">"), deletion_subject(self.collection)):
            async for message in read_stream(self._bus, EVENTS_STREAM, seq + 1, subject=subject):
                yield message

    async def append(self, kind: str, event_id: str, data: bytes, after: int) -> int | None:
        """Publish an event right after sequence `after`; its sequence, or None if the log does not end there.

        Raises:
            BusUnavailable: no acknowledgement came; it may be stored nevertheless.
            JetStreamRefused: the log does not take it.
        """
        headers = {
            MSG_ID_HEADER: f"{self.collection}:{event_id}:{secrets.token_hex(16)}",
            _EXPECTED_END: str(after),
        }
        try:
            return await self._bus.publish_to_stream(event_subject(self.collection, kind), data, headers)
        except JetStreamRefused as error:
            if error.err_code in COMPARE_AND_SET_LOST:
                return None
            raise

    async def in_index(self, ids: Sequence[str]) -> dict[str, int]:
        """Sequences of those of `ids` that the index has, by id.

        Raises:
            BusUnavailable: no indexer answers, or it answers with an error.
        """
        try:
            reply = await self._client.ask_collection(self.collection, catalogue.GET, ids=list(ids))
        except AnsweredWithError as error:
            if error.code == ERROR_CODES[ErrorReason.NOT_FOUND]:
                return {}
            if error.code == ERROR_CODES[ErrorReason.TOO_LARGE] and len(ids) > 1:
                half = len(ids) // 2
                return await self.in_index(ids[:half]) | await self.in_index(ids[half:])
            raise BusUnavailable(str(error)) from error
        except NoAnswer as error:
            raise BusUnavailable(str(error)) from error
        return {entry.event.id: entry.seq for entry in reply.events}
