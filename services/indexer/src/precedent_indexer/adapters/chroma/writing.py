"""One generation of the index in Chroma, read and written: the same wherever Chroma runs."""

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
"""Rows of one write while nobody asks."""
_WRITE_ROWS_ASKED: Final = 8
"""Rows of one write while somebody asks: no question must feel it. In this process, Chroma holds the interpreter for
all of it; in a server, the next question is the one that reads again what was written (decision 5)."""
_PATIENCE_S: Final = 0.25
"""Seconds for which a part of a write waits for questions."""
_REMOVE_ROWS: Final = 500
"""Rows of one removal: rare, and a large one should end soon."""
_SYNC_ROWS: Final = 300
"""Rows after which Chroma persists the graph. Every write and query reads again what was written since: with the
default of 1,000, a write takes 40 ms whatever its size (decision 5)."""
_CONFIGURATION: Final[Any] = {
    # Twice and one and a half times what Chroma takes: recall at 10 among copies of one text is 0.98, not 0.96.
    "hnsw": {
        "space": "cosine",
        "ef_search": 200,
        "ef_construction": 200,
        "max_neighbors": 24,
        "sync_threshold": _SYNC_ROWS,
    }
}


class ChromaTables(ChromaReads):
    """What is read and written of one generation."""

    def _sending(self) -> AbstractContextManager[None]:
        """Around every single request that changes something."""
        return contextlib.nullcontext()

    def set_identity(self, identity: Identity) -> None:
        """Durable when it returns."""
        with self._calls.doing("write the index's identity"):
            collection = self._find(IDENTITY) or self._make(IDENTITY)
            values: Any = {name: getattr(identity, name) for name in Identity.__slots__}
            with self._sending():
                collection.upsert(ids=[IDENTITY], embeddings=points(1), metadatas=[values])

    def create(self, collection: str) -> None:
        """Make a collection; no error when it exists."""
        with self._calls.doing(f"create collection {collection}"):
            self._make(collection)

    def write(self, collection: str, writes: Writes) -> None:
        """Durable when it returns; outcomes first, so that a row never shows one that is not kept."""
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
        """Parts of one request each: between the questions of this process, and small while somebody asks."""
        at = 0
        while at < len(items):
            QUESTIONS.let_pass(_PATIENCE_S)
            size = _WRITE_ROWS_ASKED if QUESTIONS.asked_lately else _WRITE_ROWS
            yield list(items[at : at + size])
            at += size

    def _upsert_rows(self, events: Collection, writes: Writes) -> None:
        for part in self._write_parts(list(writes.rows.items())):
            revised = [event_id for event_id, (row, _) in part if len(row.seqs) > 1]
            # A vector that is moved in place tears its old neighbours out of the graph: removed first, it is added
            # like a new one. A crash between the two is mended when the message comes again.
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
        """Remove these events and these outcomes; unknown ids are no error."""
        with self._calls.doing(f"remove from collection {collection}"):
            for name, ids in ((collection, events), (collection + OUTCOMES_SUFFIX, outcomes)):
                found = self._find(name)
                if found is not None:
                    for part in parts(ids, _REMOVE_ROWS):
                        with self._sending():
                            found.delete(ids=part)

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove every event and outcome below `seq`; how many events."""
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
    """Vectors for what is only ever looked up by id."""
    return [[1.0]] * count
