"""A log and its index in memory: the same rules as the real ones, and nothing of their making."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from precedent_backend_adapter._transport import Ack
from precedent_schemas import DeadReason, DecodeError, Entry, Filter, Outcome, StoredEvent
from precedent_schemas.codec import decode, decode_event, decode_object
from precedent_schemas.dead_letters import DeadLetter, Replayed, ReplayRefused
from precedent_schemas.failures import ascii_detail
from precedent_schemas.fields import SEQ_ID_PREFIX, parse_time
from precedent_schemas.filtering import predicate
from precedent_schemas.limits import MAX_COLLECTIONS
from precedent_schemas.subjects import (
    MSG_ID_HEADER,
    STANDING_COLLECTIONS,
    EventSubject,
    OutcomeSubject,
    SubjectError,
    collection_of,
    parse_log_subject,
)

_NOT_COPIED: Final = "Nats-"


@dataclass(slots=True)
class Collection:
    """One collection: the latest revision of each event, and the latest outcome by event id."""

    events: dict[str, tuple[int, StoredEvent]] = field(default_factory=dict)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def entry(self, event_id: str) -> Entry | None:
        """The event as answers show it."""
        if event_id not in self.events:
            return None
        seq, event = self.events[event_id]
        return Entry(event=event, seq=seq, outcome=self.outcomes.get(event_id))

    def entries(self, wanted: Filter | None) -> list[Entry]:
        """Those that pass the filter, newest first."""
        passes = predicate(wanted)
        found = (
            Entry(event=event, seq=seq, outcome=self.outcomes.get(event.id))
            for seq, event in self.events.values()
            if passes is None or passes(event, self.outcomes.get(event.id))
        )
        return sorted(found, key=lambda entry: -entry.seq)


class Memory:
    """What was published, indexed at once and in order."""

    def __init__(self) -> None:
        self.last_seq = 0
        self.bytes = 0
        self.collections: dict[str, Collection] = {name: Collection() for name in STANDING_COLLECTIONS}
        self.dead: dict[int, DeadLetter] = {}
        self._originals: dict[int, tuple[str, bytes, Mapping[str, str]]] = {}
        self._seqs: dict[str, int] = {}

    def append(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> Ack:
        """What the log does with a message: take it, or know it already."""
        message_id = headers.get(MSG_ID_HEADER)
        if message_id is not None and message_id in self._seqs:
            return Ack(self._seqs[message_id], duplicate=True)
        self.last_seq += 1
        self.bytes += len(payload)
        if message_id is not None:
            self._seqs[message_id] = self.last_seq
        try:
            self._index(self.last_seq, subject, payload)
        except DecodeError as error:
            self._bury(error.reason, str(error), subject, payload, headers)
        except SubjectError as error:
            self._bury(DeadReason.INVALID, str(error), subject, payload, headers)
        except _TooManyCollectionsError as error:
            self._bury(DeadReason.UNPROCESSABLE, str(error), subject, payload, headers)
        return Ack(self.last_seq)

    def delete(self, collection: str, ids: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those that were there and are gone, and those that were not; the deletion is itself in the log."""
        stored = self.collections[collection]
        self.last_seq += 1
        deleted: list[str] = []
        missing: list[str] = []
        for event_id in dict.fromkeys(ids):
            stored.outcomes.pop(event_id, None)
            (missing if stored.events.pop(event_id, None) is None else deleted).append(event_id)
        return deleted, missing

    def clear(self, collection: str) -> int:
        """How many events are gone."""
        self.last_seq += 1
        gone = len(self.collections[collection].events)
        self.collections[collection] = Collection()
        return gone

    def replay(self, seq: int, *, force: bool) -> Replayed | ReplayRefused:
        """Publish a dead letter again, and forget it."""
        subject, payload, headers = self._originals[seq]
        if not force and self._has_later(seq, subject, payload):
            return ReplayRefused(seq=seq, message="the event has a later revision; force replays it all the same")
        self.drop(seq)
        kept = {name: value for name, value in headers.items() if not name.startswith(_NOT_COPIED)}
        return Replayed(seq=seq, new_seq=self.append(subject, payload, kept).seq)

    def drop(self, seq: int) -> None:
        """Forget a dead letter."""
        del self.dead[seq]
        del self._originals[seq]

    def _has_later(self, seq: int, subject: str, payload: bytes) -> bool:
        try:
            event_id = decode_object(payload).get("id")
        except DecodeError:
            return False
        stored = self.collections.get(collection_of(subject) or "")
        entry = stored.entry(event_id) if stored is not None and isinstance(event_id, str) else None
        return entry is not None and entry.seq > seq

    def _index(self, seq: int, subject: str, payload: bytes) -> None:
        place = parse_log_subject(subject)
        if isinstance(place, EventSubject):
            body = decode_event(payload)
            values = dict(body)
            values |= {"id": body.id or f"{SEQ_ID_PREFIX}{seq}", "occurred_at": body.occurred_at or _now()}
            event = StoredEvent(collection=place.collection, kind=place.kind, **values)
            self._collection(place.collection).events[event.id] = (seq, event)
        elif isinstance(place, OutcomeSubject):
            outcome = decode(Outcome, payload)
            whole = outcome.model_copy(update={"decided_at": outcome.decided_at or _now()})
            self._collection(place.collection).outcomes[outcome.event_id] = whole

    def _collection(self, collection: str) -> Collection:
        if collection not in self.collections and len(self.collections) >= MAX_COLLECTIONS:
            raise _TooManyCollectionsError(f"collection {collection} would be one more than {MAX_COLLECTIONS}")
        return self.collections.setdefault(collection, Collection())

    def _bury(self, reason: DeadReason, detail: str, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        seq = self.last_seq
        self._originals[seq] = (subject, payload, headers)
        self.dead[seq] = DeadLetter(
            seq=seq,
            reason=reason,
            detail=ascii_detail(detail),
            subject=subject,
            headers={name: [value] for name, value in headers.items() if not name.startswith(_NOT_COPIED)},
            data=base64.b64encode(payload).decode(),
            deliveries=1,
            dead_at=_now(),
        )


class _TooManyCollectionsError(Exception):
    """An index holds only so many collections."""


def _now() -> datetime:
    return parse_time(datetime.now(UTC))
