"""The verbs of the dead letters: list, get, replay and drop."""

import base64
import secrets
from collections.abc import Callable
from typing import Any, Final, Protocol

import structlog

from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.paging import Page, read_cursor, size_of, write_cursor
from precedent_indexer.domain.operations import Delete, decode
from precedent_indexer.errors import JetStreamRefused, QuestionFailed
from precedent_schemas import codec, dead_letters, questions
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.failures import DeadReason, ErrorReason
from precedent_schemas.subjects import (
    DELETIONS_PREFIX,
    EVENTS_PREFIX,
    MSG_ID_HEADER,
    OUTCOMES_PREFIX,
    EventSubject,
    OutcomeSubject,
    SubjectError,
    parse_log_subject,
)

log = structlog.get_logger(__name__)

_PATIENCE_S: Final = 10.0
"""Seconds that a replay waits for the index to know what is in the log."""
_NAMED: Final = 20
"""Most sequences that a line of the log names."""
_LOG_SUBJECTS: Final = tuple(f"{prefix}." for prefix in (EVENTS_PREFIX, OUTCOMES_PREFIX, DELETIONS_PREFIX))


_ROOM_FOR_HEADERS: Final = 1024
"""Bytes for the message id of a replay, and for the lines that headers are written in."""


class Archive(Protocol):
    """The dead letters as their verbs need them."""

    async def refresh(self) -> None:
        """Take note of what is new."""

    def originals(self) -> list[int]:
        """Sequences of the originals, newest first."""

    async def letter(self, original: int) -> DeadLetter | None:
        """The dead letter of one original."""

    async def remove(self, original: int) -> None:
        """Erase the dead letters of one original."""


class Republisher(Protocol):
    """How a message gets into the log again."""

    async def publish_to_stream(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Store it; its sequence."""


class DeadLetterVerbs:
    """Looks after what was refused."""

    def __init__(self, view: IndexView, archive: Archive, log: Republisher, max_payload: Callable[[], int]) -> None:
        self._view = view
        self._archive = archive
        self._log = log
        self._max_payload = max_payload

    async def page(self, _collection: str, request: questions.DeadListRequest) -> dead_letters.DeadListReply:
        """One page, newest first; the cursor is the sequence that it ends with."""
        await self._archive.refresh()
        listing = ["dead letters", (await self._view.source.state()).created]
        before = read_cursor(listing, request.cursor) if request.cursor else None
        originals = [seq for seq in self._archive.originals() if before is None or seq < before]
        page = Page(self._max_payload())
        found: list[DeadLetter] = []
        too_large: list[int] = []
        passed = 0
        for seq in originals:
            letter = await self._archive.letter(seq)
            if letter is None:
                continue
            size = size_of(letter)
            fits = page.could_hold(size)
            if len(found) + len(too_large) == request.limit or not page.take(size if fits else len(f"{seq},")):
                return dead_letters.DeadListReply(
                    dead_letters=found, too_large=too_large, cursor=write_cursor(listing, passed)
                )
            if fits:
                found.append(letter)
            else:
                too_large.append(seq)
            passed = seq
        return dead_letters.DeadListReply(dead_letters=found, too_large=too_large)

    async def get(self, _collection: str, request: questions.DeadSeqsRequest) -> dead_letters.DeadGetReply:
        """Those with these sequences, in the order asked."""
        found, missing = await self._find(request.seqs)
        return dead_letters.DeadGetReply(dead_letters=found, missing=missing)

    async def replay(self, _collection: str, request: questions.DeadReplayRequest) -> dead_letters.DeadReplayReply:
        """Publish the original bytes on the original subject; then the dead letter and its original are gone."""
        found, missing = await self._find(request.seqs)
        if found and not request.force:
            await self._know_the_latest()
        replayed: list[dead_letters.Replayed] = []
        refused: list[dead_letters.ReplayRefused] = []
        try:
            for letter in found:
                objection = (
                    _misplaced(letter)
                    or self._too_large(letter)
                    or (None if request.force else await self._objection(letter))
                )
                if objection is not None:
                    refused.append(dead_letters.ReplayRefused(seq=letter.seq, message=objection))
                    continue
                try:
                    replayed.append(dead_letters.Replayed(seq=letter.seq, new_seq=await self._publish(letter)))
                except JetStreamRefused as error:
                    refused.append(dead_letters.ReplayRefused(seq=letter.seq, message=f"the log refuses it: {error}"))
                    continue
                await self._forget(letter.seq)
        finally:
            # Also of a request that broke off, whose asker was told no sequence.
            done = [one.seq for one in replayed]
            log.info(
                "dead_letters_replayed", count=len(done), seqs=_named(done), refused=len(refused), force=request.force
            )
        return dead_letters.DeadReplayReply(replayed=replayed, refused=refused, missing=missing)

    async def drop(self, _collection: str, request: questions.DeadSeqsRequest) -> dead_letters.DeadDropReply:
        """Erase dead letters, and their originals from the log, so that no rebuild brings them back."""
        found, missing = await self._find(request.seqs)
        dropped: list[int] = []
        try:
            for letter in found:
                await self._forget(letter.seq)
                dropped.append(letter.seq)
        finally:
            log.info("dead_letters_dropped", count=len(dropped), seqs=_named(dropped))
        return dead_letters.DeadDropReply(dropped=dropped, missing=missing)

    async def _publish(self, letter: DeadLetter) -> int:
        headers = {name: values[-1] for name, values in letter.headers.items() if values and not _is_servers(name)}
        headers[MSG_ID_HEADER] = f"replay:{letter.seq}:{secrets.token_hex(16)}"
        return await self._log.publish_to_stream(letter.subject, base64.b64decode(letter.data), headers)

    def _too_large(self, letter: DeadLetter) -> str | None:
        """Why the server would not take it; None if it would."""
        headers = sum(len(name) + len(values[-1]) for name, values in letter.headers.items() if values)
        size, most = len(base64.b64decode(letter.data)) + headers + _ROOM_FOR_HEADERS, self._max_payload()
        if size <= most:
            return None
        return (
            f"{DeadReason.TOO_LARGE}: it takes {size} bytes with its headers, and the server takes {most} in one "
            "message: raise max_payload of the server, or drop it"
        )

    async def _forget(self, seq: int) -> None:
        # The original first: a dead letter whose original is gone can still be seen and dropped again.
        await self._view.source.erase([seq])
        await self._archive.remove(seq)
        self._view.progress.forget(seq)

    async def _find(self, seqs: list[int]) -> tuple[list[DeadLetter], list[int]]:
        await self._archive.refresh()
        found: list[DeadLetter] = []
        missing: list[int] = []
        for seq in dict.fromkeys(seqs):
            letter = await self._archive.letter(seq)
            if letter is None:
                missing.append(seq)
            else:
                found.append(letter)
        return found, missing

    async def _know_the_latest(self) -> None:
        """The index, which is asked for later revisions, must know what is in the log by now."""
        last_seq = (await self._view.source.state()).last_seq
        if not await self._view.progress.reach(last_seq, _PATIENCE_S):
            raise QuestionFailed(
                ErrorReason.NOT_INDEXED_YET,
                f"the index has not reached {last_seq} yet, so there may be later revisions that it does not know: ask "
                "again later, or replay with force",
            )

    async def _objection(self, letter: DeadLetter) -> str | None:
        """Why a replay would replace a newer revision; None if it would not."""
        try:
            subject = parse_log_subject(letter.subject)
            body = codec.decode_object(base64.b64decode(letter.data))
        except (SubjectError, codec.DecodeError):
            return None
        if isinstance(subject, EventSubject) and isinstance(body.get("id"), str):
            rows = await self._view.workers.read(self._view.store.rows, subject.collection, [body["id"]])
            newest = max((row.seq for row in rows.values()), default=0)
        elif isinstance(subject, OutcomeSubject) and isinstance(body.get("event_id"), str):
            records = await self._view.workers.read(self._view.store.outcomes, subject.collection, [body["event_id"]])
            newest = max((record.seq for record in records.values()), default=0)
        else:
            return None
        if newest <= letter.seq:
            return await self._deleted_since(subject.collection, body, letter.seq)
        return f"its id has a later revision, {newest}: replay with force to put the older one in its place"

    async def _deleted_since(self, collection: str, body: dict[str, Any], seq: int) -> str | None:
        """The same for an id that was deleted since; None where it was not."""
        async for message in self._view.source.deletions(collection, seq):
            operation = decode(message)
            ids = {body.get("id"), body.get("event_id")}
            if isinstance(operation, Delete) and (operation.ids is None or not ids.isdisjoint(operation.ids)):
                return f"its id was deleted since, at {operation.seq}: replay with force to bring it back"
        return None


def _named(seqs: list[int]) -> str:
    return " ".join(map(str, seqs[:_NAMED]))


def _misplaced(letter: DeadLetter) -> str | None:
    """Why it must never be published by us: where others may write dead letters, they say on which subject."""
    if letter.subject.startswith(_LOG_SUBJECTS):
        return None
    return "its subject is none of the log's: drop it"


def _is_servers(header: str) -> bool:
    """Whether the server would take it for an order."""
    return header.lower().startswith("nats-")
