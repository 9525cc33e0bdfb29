"""What an index must hold after a log, said as plainly as possible: one message after the other into dictionaries."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import Delete, PutEvent, PutOutcome, decode, named_event
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_schemas.subjects import collection_of

POISON = "poison"
"""A text with this word is one that no model can embed."""
KILLER = "killer"
"""A text with this word ends the process of whoever embeds it."""
_REFUSED = (POISON, KILLER)


@dataclass
class Contents:
    """Rows and outcomes of one collection, by event id."""

    rows: dict[str, Row] = field(default_factory=dict)
    outcomes: dict[str, OutcomeRecord] = field(default_factory=dict)


def meaning(message: LogMessage) -> PutEvent | PutOutcome | Delete | None:
    """What a message asks for; None where it must be refused."""
    return _meaning(message.seq, message.subject, message.data, message.stored_at)


@lru_cache(maxsize=10_000)
def _meaning(seq: int, subject: str, data: bytes, stored_at: datetime) -> PutEvent | PutOutcome | Delete | None:
    decoded = decode(LogMessage(seq, subject, data, {}, stored_at))
    if isinstance(decoded, Refusal):
        return None
    if isinstance(decoded, PutEvent) and any(word in decoded.event.text for word in _REFUSED):
        return None
    return decoded


def replayed(history: Mapping[int, LogMessage], last_seq: int | None = None) -> dict[str, Contents]:
    """The contents of every collection after the messages up to `last_seq`, or all."""
    found: dict[str, Contents] = {}
    for seq in sorted(history):
        operation = meaning(history[seq])
        if operation is None or (last_seq is not None and seq > last_seq):
            continue
        held = found.setdefault(operation.collection, Contents())
        if isinstance(operation, PutEvent):
            one = operation.event.id
            seqs = (*(held.rows[one].seqs if one in held.rows else ()), seq)
            held.rows[one] = Row(operation.event, seq, seqs, held.outcomes.get(one))
        elif isinstance(operation, PutOutcome):
            one = operation.outcome.event_id
            seqs = (*(held.outcomes[one].seqs if one in held.outcomes else ()), seq)
            held.outcomes[one] = OutcomeRecord(operation.outcome, seq, seqs)
            if one in held.rows:
                held.rows[one] = replace(held.rows[one], outcome=held.outcomes[one])
        else:
            for one in [*held.rows, *held.outcomes] if operation.ids is None else operation.ids:
                held.rows.pop(one, None)
                held.outcomes.pop(one, None)
    return found


def to_erase(history: Mapping[int, LogMessage]) -> set[int]:
    """Sequences of what a later deletion takes out of the log; what was refused goes with the event that it names."""
    found: set[int] = set()
    for seq, message in history.items():
        deletion = meaning(message)
        if isinstance(deletion, Delete):
            found |= {earlier for earlier, one in history.items() if earlier < seq and _named(one, deletion)}
    return found


def unburied(history: Mapping[int, LogMessage]) -> set[int]:
    """Sequences of what must be refused and stays no dead letter, since its event was deleted by its id."""
    by_ids = [one for one in map(meaning, history.values()) if isinstance(one, Delete) and one.ids is not None]
    return {
        seq
        for seq, message in history.items()
        if meaning(message) is None and any(seq < one.seq and _named(message, one) for one in by_ids)
    }


def _named(message: LogMessage, deletion: Delete) -> bool:
    put = meaning(message)
    if isinstance(put, Delete) or collection_of(message.subject) != deletion.collection:
        return False
    if deletion.ids is None:
        return True
    if put is None:
        named = named_event(message)
        return named is not None and named[1] in deletion.ids
    return (put.event.id if isinstance(put, PutEvent) else put.outcome.event_id) in deletion.ids
