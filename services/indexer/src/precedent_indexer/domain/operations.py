"""Decodes messages of the log into operations on the index, or into the reason of a refusal."""

from dataclasses import dataclass
from datetime import datetime

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_schemas import codec
from precedent_schemas.events import Deletion, EventBody, Outcome, StoredEvent
from precedent_schemas.failures import DeadReason, ascii_detail
from precedent_schemas.fields import SEQ_ID_PREFIX
from precedent_schemas.subjects import (
    DeletionSubject,
    EventSubject,
    OutcomeSubject,
    SubjectError,
    parse_log_subject,
)


@dataclass(frozen=True, slots=True)
class PutEvent:
    """A revision of an event."""

    seq: int
    event: StoredEvent

    @property
    def collection(self) -> str:
        """Collection of the event."""
        return self.event.collection


@dataclass(frozen=True, slots=True)
class PutOutcome:
    """A decision about an event."""

    seq: int
    collection: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Delete:
    """A deletion of some ids, or of all (`ids` is None)."""

    seq: int
    collection: str
    ids: tuple[str, ...] | None


Operation = PutEvent | PutOutcome | Delete


def decode(message: LogMessage) -> Operation | Refusal:
    """The operation in `message`, or why it is refused; never raises."""
    try:
        subject = parse_log_subject(message.subject)
        if isinstance(subject, EventSubject):
            return PutEvent(message.seq, _stored(message, subject, codec.decode_event(message.data)))
        if isinstance(subject, OutcomeSubject):
            outcome = codec.validate(Outcome, codec.decode_object(message.data))
            if outcome.decided_at is None:
                outcome = outcome.model_copy(update={"decided_at": _to_millisecond(message)})
            return PutOutcome(message.seq, subject.collection, outcome)
        if isinstance(subject, DeletionSubject):
            deletion = codec.validate(Deletion, codec.decode_object(message.data))
            ids = tuple(dict.fromkeys(deletion.ids)) if deletion.ids is not None else None
            return Delete(message.seq, subject.collection, ids)
    except SubjectError as error:
        return Refusal(DeadReason.INVALID, ascii_detail(str(error)))
    except codec.DecodeError as error:
        return Refusal(error.reason, ascii_detail(str(error)))
    raise AssertionError(f"no decoder for this subject of the log: {subject}")


def named_event(message: LogMessage) -> tuple[str, str] | None:
    """Collection and id of the event that a message is about, refused or not; None if they cannot be read."""
    try:
        subject, body = parse_log_subject(message.subject), codec.decode_object(message.data)
    except Exception:  # noqa: BLE001 -- any failure concerns this message alone
        return None
    if isinstance(subject, EventSubject):
        event_id = body.get("id", f"{SEQ_ID_PREFIX}{message.seq}")
    elif isinstance(subject, OutcomeSubject):
        event_id = body.get("event_id")
    else:
        return None
    return (subject.collection, event_id) if isinstance(event_id, str) else None


def _stored(message: LogMessage, subject: EventSubject, body: EventBody) -> StoredEvent:
    """The event with every default filled in: the same on every redelivery and every rebuild."""
    return StoredEvent(
        id=body.id or f"{SEQ_ID_PREFIX}{message.seq}",
        collection=subject.collection,
        kind=subject.kind,
        text=body.text,
        occurred_at=body.occurred_at or _to_millisecond(message),
        severity=body.severity,
        source=body.source,
        user=body.user,
        ip=body.ip,
        attributes=body.attributes,
    )


def _to_millisecond(message: LogMessage) -> datetime:
    stored = message.stored_at
    return stored.replace(microsecond=stored.microsecond // 1000 * 1000)
