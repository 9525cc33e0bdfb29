"""What an index must hold, by the log alone: every message folded into one entry for each id. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import Delete, PutEvent, PutOutcome, decode
from precedent_indexer.domain.row_digest import RowDigest, StoredDigests, of_event, of_outcome
from precedent_indexer.domain.rows import OutcomeRecord, Row

MISSING = "missing"
ORPHANED = "orphaned"


@dataclass(slots=True)
class _Entries:
    """Of one collection, by id."""

    events: dict[str, RowDigest] = field(default_factory=dict)
    outcomes: dict[str, tuple[RowDigest, RowDigest]] = field(default_factory=dict)


class ExpectedIndex:
    """Takes the log in order, from its beginning."""

    def __init__(self) -> None:
        self._collections: dict[str, _Entries] = {}

    def add(self, messages: Iterable[LogMessage], refused: Collection[int]) -> None:
        """Take in what comes next in the log; `refused` became dead letters for reasons of their own."""
        for message in messages:
            operation = decode(message)
            if isinstance(operation, Refusal) or message.seq in refused:
                continue
            entries = self._collections.setdefault(operation.collection, _Entries())
            if isinstance(operation, PutEvent):
                _put_event(entries, operation)
            elif isinstance(operation, PutOutcome):
                _put_outcome(entries, operation)
            else:
                _delete(entries, operation)

    def collections(self) -> list[str]:
        """Those that the log speaks of."""
        return sorted(self._collections)

    def ids(self, collection: str) -> set[str]:
        """Of events and outcomes that the index must hold."""
        entries = self._entries(collection)
        return entries.events.keys() | entries.outcomes.keys()

    def events(self) -> int:
        """How many events the index must hold."""
        return sum(len(one.events) for one in self._collections.values())

    def seqs(self, collection: str, event_id: str) -> list[int]:
        """The messages that make up what the index must hold of one id, in order."""
        entries = self._entries(collection)
        event = entries.events.get(event_id)
        outcome = entries.outcomes.get(event_id)
        return sorted({*(event.seqs if event else ()), *(outcome[0].seqs if outcome else ())})

    def compare(self, collection: str, event_id: str, stored: StoredDigests, first_seq: int) -> str | None:
        """What is wrong with what the index has of one id; None where nothing is.

        Args:
            collection: where.
            event_id: which.
            stored: what the index has.
            first_seq: where the log begins now: what is older leaves the index with it, sooner or later.
        """
        entries = self._entries(collection)
        wanted = entries.events.get(event_id)
        if wanted is None:
            if stored.event is not None and not _is_leaving(stored.event, first_seq):
                return ORPHANED
        elif stored.event is None:
            return MISSING
        elif not stored.event.covers(wanted):
            known = stored.event.seq == wanted.seq and set(stored.event.seqs) >= set(wanted.seqs)
            return "content" if known else "revision"
        elif not stored.has_vector:
            return "vector"
        return self._compare_outcome(entries, event_id, stored, first_seq)

    def _compare_outcome(self, entries: _Entries, event_id: str, stored: StoredDigests, first_seq: int) -> str | None:
        shown, kept = entries.outcomes.get(event_id, (None, None))
        pairs = [(kept, stored.kept)]
        if stored.event is not None:
            pairs.append((shown, stored.shown))
        for wanted, found in pairs:
            if wanted is None:
                right = found is None or _is_leaving(found, first_seq)
            else:
                right = found is not None and found.covers(wanted)
            if not right:
                return "outcome"
        return None

    def _entries(self, collection: str) -> _Entries:
        return self._collections.get(collection) or _Entries()


def _is_leaving(stored: RowDigest, first_seq: int) -> bool:
    return 0 < stored.seq < first_seq


def _put_event(entries: _Entries, operation: PutEvent) -> None:
    event_id = operation.event.id
    before = entries.events.get(event_id)
    seqs = (*(before.seqs if before else ()), operation.seq)
    entries.events[event_id] = of_event(Row(operation.event, operation.seq, seqs))


def _put_outcome(entries: _Entries, operation: PutOutcome) -> None:
    event_id = operation.outcome.event_id
    before = entries.outcomes.get(event_id)
    seqs = (*(before[0].seqs if before else ()), operation.seq)
    entries.outcomes[event_id] = of_outcome(OutcomeRecord(operation.outcome, operation.seq, seqs))


def _delete(entries: _Entries, operation: Delete) -> None:
    if operation.ids is None:
        entries.events.clear()
        entries.outcomes.clear()
        return
    for one in operation.ids:
        entries.events.pop(one, None)
        entries.outcomes.pop(one, None)
