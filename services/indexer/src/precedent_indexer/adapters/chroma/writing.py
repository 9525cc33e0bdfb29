"""Writes one generation of the index in Chroma, embedded or on a server."""

import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
from chromadb.api.models.Collection import Collection

from precedent_indexer.adapters.chroma.reading import IDENTITY, OUTCOMES_SUFFIX, ChromaReads, narrowed, parts
from precedent_indexer.domain.index_state import Identity, Where, Writes
from precedent_indexer.domain.rows import (
    Metadata,
    joined_metadata,
    outcome_metadata,
    row_document,
    row_metadata,
    written_seqs,
)
from precedent_indexer.runtime.priority import QUESTIONS

_WRITE_ROWS: Final = 64
"""Rows of one write while no questions arrive."""
_WRITE_ROWS_ASKED: Final = 8
"""Rows of one write while questions arrive, so that they are not delayed. Embedded, Chroma holds the interpreter during
the whole write; on a server, the next question reads again what was written (decision 5)."""
_PATIENCE_S: Final = 0.25
"""Most seconds that one part of a write waits for questions."""
_REMOVE_ROWS: Final = 500
"""Rows of one removal; removals are rare."""
_SYNC_ROWS: Final = 300
"""Rows after which Chroma persists the graph. Every write and query reads again what was written since: with the
default of 1,000, a write takes 40 ms whatever its size (decision 5)."""
_CONFIGURATION: Final[Any] = {
    # Twice and 1.5 times Chroma's defaults: recall at 10 among copies of one text is 0.98 instead of 0.96.
    "hnsw": {
        "space": "cosine",
        "ef_search": 200,
        "ef_construction": 200,
        "max_neighbors": 24,
        "sync_threshold": _SYNC_ROWS,
    }
}


class ChromaTables(ChromaReads):
    """The reads and writes of a `VectorStore`."""

    def _sending(self) -> AbstractContextManager[None]:
        """Context around every request that changes something."""
        return contextlib.nullcontext()

    def set_identity(self, identity: Identity) -> None:
        """Store it; durable on return."""
        with self._calls.doing("write the index's identity"):
            collection = self._find(IDENTITY) or self._make(IDENTITY)
            values: Any = {name: getattr(identity, name) for name in Identity.__slots__}
            with self._sending():
                collection.upsert(ids=[IDENTITY], embeddings=points(1), metadatas=[values])

    def create(self, collection: str) -> None:
        """Create a collection, unless it exists."""
        with self._calls.doing(f"create collection {collection}"):
            self._make(collection)

    def write(self, collection: str, writes: Writes) -> None:
        """Store the changes, durable on return; outcomes first, so that a row never shows one that is not stored."""
        with self._calls.doing(f"write collection {collection}"):
            if writes.outcomes:
                companion = self._make(collection + OUTCOMES_SUFFIX)
                for part in self._write_parts(list(writes.outcomes.items())):
                    with self._sending():
                        companion.upsert(
                            ids=[event_id for event_id, _ in part],
                            embeddings=points(len(part)),
                            metadatas=[outcome_metadata(record) for _, record in part],
                        )
            if writes.rows:
                self._upsert_rows(self._make(collection), writes)
            changes: dict[str, Metadata] = {
                event_id: joined_metadata(record) for event_id, record in writes.joined.items()
            }
            for event_id, seqs in writes.seqs.items():
                changes.setdefault(event_id, {})["seqs"] = written_seqs(seqs)
            for part in self._write_parts(list(changes.items())):
                events = self._make(collection)
                with self._sending():
                    events.update(ids=[event_id for event_id, _ in part], metadatas=[change for _, change in part])

    def _write_parts(self, items: Sequence[Any]) -> Iterator[list[Any]]:
        """Parts of one request each: written between questions, and small while questions arrive."""
        at = 0
        while at < len(items):
            QUESTIONS.let_pass(_PATIENCE_S)
            size = _WRITE_ROWS_ASKED if QUESTIONS.asked_lately else _WRITE_ROWS
            yield list(items[at : at + size])
            at += size

    def _upsert_rows(self, events: Collection, writes: Writes) -> None:
        for part in self._write_parts(list(writes.rows.items())):
            revised = [event_id for event_id, (row, _) in part if len(row.seqs) > 1]
            # A vector that is changed in place disconnects its old neighbours in the graph, so the row is removed and
            # added. After a crash between the two, the message is applied again.
            with self._rwlock.writing() if revised else contextlib.nullcontext():
                if revised:
                    with self._sending():
                        events.delete(ids=revised)
                with self._sending():
                    events.upsert(
                        ids=[event_id for event_id, _ in part],
                        embeddings=np.stack([vector for _, (_, vector) in part]),
                        documents=[row_document(row) for _, (row, _) in part],
                        metadatas=[row_metadata(row) for _, (row, _) in part],
                    )

    def remove(self, collection: str, events: Sequence[str], outcomes: Sequence[str]) -> None:
        """Remove these events and these outcomes; unknown ids are skipped."""
        with self._calls.doing(f"remove from collection {collection}"):
            for name, ids in ((collection, events), (collection + OUTCOMES_SUFFIX, outcomes)):
                found = self._find(name)
                if found is not None:
                    for part in parts(ids, _REMOVE_ROWS):
                        with self._sending():
                            found.delete(ids=part)

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove every event and outcome below sequence `seq`; the number of events removed."""
        removed = 0
        with self._calls.doing(f"clear collection {collection}"):
            for name, key in ((collection, "seq"), (collection + OUTCOMES_SUFFIX, "outcome_seq")):
                found = self._find(name)
                while found:
                    ids = found.get(limit=_REMOVE_ROWS, include=[], **narrowed(Where({key: {"$lt": seq}})))["ids"]
                    if not ids:
                        break
                    with self._sending():
                        found.delete(ids=ids)
                    removed += len(ids) if name == collection else 0
        return removed

    def _make(self, name: str) -> Collection:
        found = self._find(name)
        if found is None:
            with self._sending():
                found = self._client.create_collection(
                    self._prefix + name, embedding_function=None, configuration=_CONFIGURATION, get_or_create=True
                )
            self._open[name] = found
        return found


def points(count: int) -> Any:  # noqa: ANN401 -- Chroma's own type for embeddings is not exported
    """Placeholder vectors of width one, for rows that are only looked up by id."""
    return [[1.0]] * count
