"""One collection in the log, as an import needs it: everything about it, and publishing onto a known end."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

from precedent_indexer.adapters.nats.bus import API_TIMEOUT_S, Bus
from precedent_indexer.adapters.nats.log import JetStreamLog, message_headers
from precedent_indexer.domain.messages import LogMessage, Packet
from precedent_indexer.errors import COMPARE_AND_SET_LOST, BusUnavailable, ImportFailed, JetStreamCode, JetStreamRefused
from precedent_schemas import catalogue, codec
from precedent_schemas.answers import GetReply
from precedent_schemas.questions import GetRequest
from precedent_schemas.subjects import (
    EVENTS_STREAM,
    MSG_ID_HEADER,
    SERVICE_ERROR_CODE_HEADER,
    SERVICE_ERROR_HEADER,
    deletion_subject,
    event_subject,
    question_subject,
)

_BATCH: Final = 500
_BATCH_BYTES: Final = 4 * 1024 * 1024
_GET_TIMEOUT_S: Final = 30.0
_EXPECTED_END: Final = "Nats-Expected-Last-Sequence"


class CollectionLog:
    """The events and deletions of one collection."""

    def __init__(self, bus: Bus, collection: str) -> None:
        self._bus = bus
        self._log = JetStreamLog(bus)
        self.collection = collection

    async def end(self) -> tuple[int, bool]:
        """The last sequence of the log, and whether the log still has every message that it ever stored.

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
            last = seq
            async for message in self._in_bulk(subject, seq + 1):
                last = message.seq
                yield message
            # Any replica may serve direct gets, and lag: the leader says what came behind.
            while (found := await self._from_leader(subject, last + 1)) is not None:
                last = found.seq
                yield found

    async def _in_bulk(self, subject: str, first: int) -> AsyncIterator[LogMessage]:
        answers: asyncio.Queue[Packet] = asyncio.Queue()
        inbox = self._bus.new_inbox()
        unsubscribe = await self._bus.subscribe(inbox, answers.put)
        try:
            more = True
            while more:
                request = {"seq": first, "next_by_subj": subject, "batch": _BATCH, "max_bytes": _BATCH_BYTES}
                direct_get = self._bus.api_subject(f"DIRECT.GET.{EVENTS_STREAM}")
                await self._bus.publish(direct_get, json.dumps(request).encode(), reply=inbox)
                more = False
                async for packet in _until_end_of_batch(answers):
                    message = _direct(packet)
                    first, more = message.seq + 1, True
                    yield message
        finally:
            await unsubscribe()

    async def _from_leader(self, subject: str, seq: int) -> LogMessage | None:
        try:
            answer = await self._bus.api(f"STREAM.MSG.GET.{EVENTS_STREAM}", {"seq": seq, "next_by_subj": subject})
        except JetStreamRefused as error:
            if error.err_code == JetStreamCode.MESSAGE_NOT_FOUND:
                return None
            raise
        found = answer["message"]
        return LogMessage(
            seq=int(found["seq"]),
            subject=found["subject"],
            data=base64.b64decode(found.get("data") or ""),
            headers={},
            stored_at=_moment(found["time"]),
        )

    async def append(self, kind: str, event_id: str, data: bytes, after: int) -> int | None:
        """Publish an event as the message right after sequence `after`; None where the log ends elsewhere.

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
        """Sequences of those of `ids` that the index has.

        Raises:
            BusUnavailable: no indexer answers, or it cannot.
        """
        request = GetRequest(ids=list(ids))
        subject = question_subject(self.collection, catalogue.GET.verb)
        packet = await self._bus.request(subject, codec.encode(request), timeout_s=_GET_TIMEOUT_S)
        code = packet.headers.get(SERVICE_ERROR_CODE_HEADER)
        if code == "404":
            return {}
        if code == "413" and len(ids) > 1:
            half = len(ids) // 2
            return await self.in_index(ids[:half]) | await self.in_index(ids[half:])
        if code is not None:
            raise BusUnavailable(f"{subject} answers {code}: {packet.headers.get(SERVICE_ERROR_HEADER, '')}")
        return {entry.event.id: entry.seq for entry in codec.decode(GetReply, packet.data).events}


async def _until_end_of_batch(answers: asyncio.Queue[Packet]) -> AsyncIterator[Packet]:
    while True:
        try:
            async with asyncio.timeout(API_TIMEOUT_S):
                packet = await answers.get()
        except TimeoutError as error:
            raise BusUnavailable(f"reading {EVENTS_STREAM} got no answer within {API_TIMEOUT_S:g} s") from error
        if "Nats-Sequence" not in packet.headers:
            if packet.headers.get("Status") in {"204", "404"}:
                return
            why = packet.headers.get("Description", "no reason given")
            raise BusUnavailable(f"{EVENTS_STREAM} cannot be read: {why}")
        yield packet
        if "Nats-Num-Pending" not in packet.headers:
            # A server before 2.11 knows no batches: it answers with one message.
            return


def _direct(packet: Packet) -> LogMessage:
    return LogMessage(
        seq=int(packet.headers["Nats-Sequence"]),
        subject=packet.headers["Nats-Subject"],
        data=packet.data,
        headers=message_headers(packet),
        stored_at=_moment(packet.headers["Nats-Time-Stamp"]),
    )


def _moment(text: str) -> datetime:
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction.ljust(6, '0')[:6]}+00:00")
