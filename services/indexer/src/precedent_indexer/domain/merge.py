"""Merges operations of one collection with the rows that the index holds, into writes.

Pure, and the heart of two promises: an older revision never replaces a newer one, and the same message twice
changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from precedent_indexer.domain.index_state import Vector, Writes
from precedent_indexer.domain.operations import PutEvent, PutOutcome
from precedent_indexer.domain.rows import OutcomeRecord, Row


def fold(
    operations: Sequence[PutEvent | PutOutcome],
    rows: Mapping[str, Row],
    outcomes: Mapping[str, OutcomeRecord],
    vectors: Mapping[int, Vector],
) -> Writes:
    """The writes of a batch.

    Args:
        operations: of one collection, in the order of the log.
        rows: rows in the index of the events that the operations touch, by event id.
        outcomes: outcomes in the index of these events, by event id.
        vectors: displaced vector of each event, by its sequence.
    """
    writes = Writes()
    for operation in operations:
        if isinstance(operation, PutEvent):
            _put_event(operation, rows, outcomes, vectors, writes)
        else:
            _put_outcome(operation, rows, outcomes, writes)
    return writes


def is_news(operation: PutEvent | PutOutcome, writes: Writes) -> bool:
    """Whether the merge that gave these writes kept the operation: neither index nor batch had a newer one."""
    if isinstance(operation, PutEvent):
        row = writes.rows.get(operation.event.id)
        return row is not None and row[0].seq == operation.seq
    record = writes.outcomes.get(operation.outcome.event_id)
    return record is not None and record.seq == operation.seq


def _put_event(
    operation: PutEvent,
    rows: Mapping[str, Row],
    outcomes: Mapping[str, OutcomeRecord],
    vectors: Mapping[int, Vector],
    writes: Writes,
) -> None:
    event_id = operation.event.id
    pending = writes.rows.get(event_id)
    held = pending[0] if pending else rows.get(event_id)
    known = writes.seqs.get(event_id) or (held.seqs if held else ())
    seqs = tuple(sorted({*known, operation.seq}))
    if held is not None and held.seq >= operation.seq:
        # Superseded: only its sequence is kept, so that a deletion can erase the message too.
        if seqs == known:
            return
        if pending:
            writes.rows[event_id] = (replace(held, seqs=seqs), pending[1])
        else:
            writes.seqs[event_id] = seqs
        return
    outcome = writes.outcomes.get(event_id) or outcomes.get(event_id)
    writes.seqs.pop(event_id, None)
    writes.joined.pop(event_id, None)
    writes.rows[event_id] = (Row(operation.event, operation.seq, seqs, outcome), vectors[operation.seq])


def _put_outcome(
    operation: PutOutcome, rows: Mapping[str, Row], outcomes: Mapping[str, OutcomeRecord], writes: Writes
) -> None:
    event_id = operation.outcome.event_id
    held = writes.outcomes.get(event_id) or outcomes.get(event_id)
    seqs = tuple(sorted({*(held.seqs if held else ()), operation.seq}))
    if held is not None and held.seq >= operation.seq:
        record = replace(held, seqs=seqs)
    else:
        record = OutcomeRecord(operation.outcome, operation.seq, seqs)
    if record != held:
        writes.outcomes[event_id] = record
    pending = writes.rows.get(event_id)
    if pending:
        writes.rows[event_id] = (replace(pending[0], outcome=record), pending[1])
    elif event_id in rows and rows[event_id].outcome != record:
        # Even if the outcome is not new: an interrupted write may have stored it without adding it to the row.
        writes.joined[event_id] = record
