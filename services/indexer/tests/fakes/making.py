"""Short ways to make events, rows, vectors and messages, right in everything that a test does not care about."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from precedent_indexer.domain.index_state import Vector, Writes
from precedent_indexer.domain.messages import LogMessage
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_indexer.embedding.model_files import DIMENSIONS
from precedent_schemas.events import Outcome, StoredEvent, Verdict

START = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
"""When the first message of every test's log was stored."""


def moment(seq: int) -> datetime:
    """When the message with this sequence was stored: a second after the one before."""
    return START + timedelta(seconds=seq)


def event(event_id: str = "e1", **fields: Any) -> StoredEvent:
    """An event with the given fields."""
    given: dict[str, Any] = {
        "collection": "incidents",
        "kind": "auth",
        "text": f"text of {event_id}",
        "occurred_at": START,
        "severity": 1,
        **fields,
    }
    return StoredEvent(id=event_id, **given)


def outcome(event_id: str = "e1", verdict: Verdict = Verdict.BENIGN, **fields: Any) -> Outcome:
    """A decision about an event."""
    return Outcome(event_id=event_id, verdict=verdict, decided_at=fields.pop("decided_at", START), **fields)


def decided(event_id: str = "e1", seq: int = 9, verdict: Verdict = Verdict.BENIGN, **fields: Any) -> OutcomeRecord:
    """The record of a decision, as the index keeps it."""
    return OutcomeRecord(outcome(event_id, verdict, **fields), seq, (seq,))


def row(event_id: str = "e1", seq: int = 1, *, record: OutcomeRecord | None = None, **fields: Any) -> Row:
    """A row whose event has the given fields."""
    return Row(event(event_id, **fields), seq, (seq,), record)


def unit(seed: int) -> Vector:
    """A direction, always the same one for the same seed."""
    vector = np.random.default_rng(seed).standard_normal(DIMENSIONS)
    direction: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return direction


def writes_of(*rows: Row) -> Writes:
    """Writes of these rows, each with a direction of its own and with its outcome beside it."""
    return Writes(
        rows={one.event.id: (one, unit(one.seq)) for one in rows},
        outcomes={one.event.id: one.outcome for one in rows if one.outcome is not None},
    )


def message(
    seq: int = 1,
    body: object = None,
    *,
    subject: str = "security.events.v1.incidents.auth",
    stored_at: datetime | None = None,
    headers: dict[str, list[str]] | None = None,
    deliveries: int = 1,
) -> LogMessage:
    """A message of the log; `body` is bytes as they are, or JSON to be."""
    data = body if isinstance(body, bytes) else json.dumps({"text": "failed login"} if body is None else body).encode()
    return LogMessage(seq, subject, data, headers or {}, stored_at or moment(seq), deliveries)
