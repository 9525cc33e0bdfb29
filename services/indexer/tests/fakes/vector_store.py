"""An index in memory: exact where the real one is approximate, and otherwise the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fakes.chaos import CALM, Chaos
from precedent_indexer.adapters.chroma.health import Symptoms
from precedent_indexer.domain.index_state import Identity, Vector, Vectors, Where, Writes
from precedent_indexer.domain.row_digest import StoredDigests, of_event, of_outcome
from precedent_indexer.domain.rows import OutcomeRecord, Row, row_metadata
from precedent_indexer.errors import StoreUnavailable


@dataclass
class _Collection:
    rows: dict[str, Row] = field(default_factory=dict)
    vectors: dict[str, Vector] = field(default_factory=dict)


class FakeVectorStore:
    """A VectorStore without files."""

    def __init__(self, chaos: Chaos = CALM) -> None:
        self.chaos = chaos
        self.closed = False
        self.symptoms = Symptoms()
        self._identity: Identity | None = None
        self._events: dict[str, _Collection] = {}
        self._outcomes: dict[str, dict[str, OutcomeRecord]] = {}

    def identity(self) -> Identity | None:
        """What was set last."""
        return self._identity

    def set_identity(self, identity: Identity) -> None:
        """Keep it."""
        self._step("set_identity")
        self._identity = identity

    def collections(self) -> list[str]:
        """Names, sorted."""
        self._step("collections")
        return sorted(self._events)

    def places(self) -> list[str]:
        """Collections, and names with outcomes alone, sorted."""
        self._step("places")
        return sorted({*self._events, *self._outcomes})

    def exists(self, collection: str) -> bool:
        """Whether it exists."""
        self._step("exists")
        return collection in self._events

    def create(self, collection: str) -> None:
        """Make it."""
        self._events.setdefault(collection, _Collection())

    def count(self, collection: str) -> int:
        """Events in it."""
        return len(self._rows(collection))

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Those that are there."""
        self._step("rows")
        held = self._rows(collection)
        return {one: held[one] for one in ids if one in held}

    def vector(self, collection: str, event_id: str) -> Vector | None:
        """The vector of one event."""
        self._step("vector")
        found = self._events.get(collection)
        return found.vectors.get(event_id) if found else None

    def outcomes(self, collection: str, ids: Sequence[str]) -> dict[str, OutcomeRecord]:
        """Those that are there."""
        self._step("outcomes")
        held = self._outcomes.get(collection, {})
        return {one: held[one] for one in ids if one in held}

    def write(self, collection: str, writes: Writes) -> None:
        """Outcomes first, then rows, then changes of rows, with a step between: a kill can fall into each."""
        if writes.outcomes:
            self._outcomes.setdefault(collection, {}).update(writes.outcomes)
            self._step("write outcomes")
        if writes.rows:
            self.create(collection)
            for event_id, (row, vector) in writes.rows.items():
                self._events[collection].rows[event_id] = row
                self._events[collection].vectors[event_id] = vector
            self._step("write rows")
        rows = self._rows(collection)
        for event_id, record in writes.joined.items():
            if event_id in rows:
                rows[event_id] = replace(rows[event_id], outcome=record)
        for event_id, seqs in writes.seqs.items():
            if event_id in rows:
                rows[event_id] = replace(rows[event_id], seqs=seqs)
        self._step("write changes")

    def remove(self, collection: str, events: Sequence[str], outcomes: Sequence[str]) -> None:
        """Remove them."""
        self._step("remove")
        for one in events:
            self._rows(collection).pop(one, None)
        self._step("remove events")
        for one in outcomes:
            self._outcomes.get(collection, {}).pop(one, None)
        self._step("remove outcomes")

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove what is older."""
        self._step("remove_before")
        old = [one for one, row in self._rows(collection).items() if row.seq < seq]
        decided = self._outcomes.get(collection, {})
        self.remove(collection, old, [one for one, record in decided.items() if record.seq < seq])
        return len(old)

    def older(self, collection: str, seq: int, limit: int) -> tuple[list[Row], list[str]]:
        """What is older, at most so many of each."""
        self._step("older")
        rows = [row for row in self._rows(collection).values() if row.seq < seq]
        decided = self._outcomes.get(collection, {})
        return rows[:limit], [one for one, record in decided.items() if record.seq < seq][:limit]

    def decided_within(self, collection: str, first_seq: int, last_seq: int) -> dict[str, int]:
        """Outcomes by their sequence."""
        self._step("decided_within")
        decided = self._outcomes.get(collection, {})
        return {one: record.seq for one, record in decided.items() if first_seq <= record.seq <= last_seq}

    def nearest(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[Row, float]]:
        """The nearest, exactly."""
        self._step("nearest")
        found = [
            (row, round(float(stored @ vector / (np.linalg.norm(stored) * np.linalg.norm(vector))), 6))
            for row, stored in self._passing(collection, where)
        ]
        return sorted(found, key=lambda pair: -pair[1])[:n]

    def nearest_ids(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[str, float]]:
        """The same with ids alone."""
        return [(row.event.id, similarity) for row, similarity in self.nearest(collection, vector, n, where)]

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors."""
        self._step("vectors")
        found = self._passing(collection, where)[:limit]
        if not found:
            return [], np.empty((0, 0), np.float32)
        return [row.event.id for row, _ in found], np.stack([vector for _, vector in found])

    def window(self, collection: str, first_seq: int, last_seq: int, where: Where | None) -> list[Row]:
        """What lies between these sequences."""
        self._step("window")
        found = [row for row, _ in self._passing(collection, where) if first_seq <= row.seq <= last_seq]
        return sorted(found, key=lambda row: row.seq)

    def ids(self, collection: str) -> list[str]:
        """Ids of events and of outcomes."""
        self._step("ids")
        return sorted({*self._rows(collection), *self._outcomes.get(collection, {})})

    def digests(self, collection: str, ids: Sequence[str]) -> dict[str, StoredDigests]:
        """What is there, by the metadata that the rows would have."""
        self._step("imprints")
        rows, kept = self._rows(collection), self._outcomes.get(collection, {})
        found = {}
        for one in ids:
            if one in rows or one in kept:
                record = rows[one].outcome if one in rows else None
                found[one] = StoredDigests(
                    event=of_event(rows[one]) if one in rows else None,
                    shown=of_outcome(record)[0] if record else None,
                    kept=of_outcome(kept[one])[1] if one in kept else None,
                    has_vector=one in rows and one in self._events[collection].vectors,
                )
        return found

    def close(self) -> None:
        """Remember that it was."""
        self.closed = True

    def contents(self, collection: str) -> tuple[dict[str, Row], dict[str, OutcomeRecord]]:
        """All rows and all outcomes, by event id."""
        return dict(self._rows(collection)), dict(self._outcomes.get(collection, {}))

    def _step(self, operation: str) -> None:
        if self.closed:
            raise StoreUnavailable(f"fake: {operation} of a closed store")
        self.chaos.step(f"store.{operation}", StoreUnavailable(f"fake: {operation}"))

    def _rows(self, collection: str) -> dict[str, Row]:
        found = self._events.get(collection)
        return found.rows if found else {}

    def _passing(self, collection: str, where: Where | None) -> list[tuple[Row, Vector]]:
        found = self._events.get(collection) or _Collection()
        return [
            (row, found.vectors[event_id])
            for event_id, row in found.rows.items()
            if where is None
            or (
                (where.contains is None or where.contains in row.event.text)
                and (where.metadata is None or _holds(where.metadata, row_metadata(row)))
            )
        ]


_COMPARE: dict[str, Any] = {
    "$gte": lambda held, given: held is not None and held >= given,
    "$lte": lambda held, given: held is not None and held <= given,
    "$lt": lambda held, given: held is not None and held < given,
    "$in": lambda held, given: held in given,
    "$contains": lambda held, given: held is not None and given in held,
}


def _holds(clause: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a row with this metadata passes a clause over it."""
    ((key, given),) = clause.items()
    if key == "$and":
        return all(_holds(one, metadata) for one in given)
    if key == "$or":
        return any(_holds(one, metadata) for one in given)
    ((operator, value),) = given.items()
    return bool(_COMPARE[operator](metadata[key], value))
