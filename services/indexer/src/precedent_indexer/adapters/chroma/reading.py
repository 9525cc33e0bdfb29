"""Reads one generation of the index in Chroma, embedded or on a server.

Each collection of events is a Chroma collection of the same name after the store's prefix. `<name>.outcomes` holds the
latest outcome of every event id, even if the event has not arrived yet. `precedent.identity` holds the identity of the
index.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from precedent_indexer.adapters.chroma.faults import StoreCalls
from precedent_indexer.adapters.chroma.health import Symptoms
from precedent_indexer.domain.index_state import Identity, Vector, Vectors, Where
from precedent_indexer.domain.row_digest import StoredDigests, stored_event, stored_outcome
from precedent_indexer.domain.rows import OutcomeRecord, Row, read_outcome, read_row
from precedent_indexer.runtime.rwlock import ReadWriteLock

IDENTITY: Final = "precedent.identity"
OUTCOMES_SUFFIX: Final = ".outcomes"
READ_ROWS: Final = 1_000
"""Ids of one read; SQLite takes some tens of thousands of parameters."""
_LIST_COLLECTIONS: Final = 500
"""Collections of one listing: a server may return them in pages."""


class ChromaReads:
    """The reads of a `VectorStore`."""

    def __init__(
        self,
        client: ClientAPI,
        prefix: str = "",
        exclusive_lock: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        """One generation among those of the client.

        Args:
            client: Chroma's client.
            prefix: prefix of the names of the generation's collections; empty if the client has no others.
            exclusive_lock: makes the lock that is held while the files change.
        """
        self._client = client
        self._prefix = prefix
        self._open: dict[str, Collection] = {}
        self._rwlock = ReadWriteLock()
        self._calls = StoreCalls(exclusive_lock)

    @property
    def symptoms(self) -> Symptoms:
        """Failures of this store."""
        return self._calls.symptoms

    def identity(self) -> Identity | None:
        """The stored identity of the index; None if there is none yet."""
        with self._calls.doing("read the index's identity"):
            collection = self._find(IDENTITY)
            if collection is None:
                return None
            found = collection.get(ids=[IDENTITY], include=["metadatas"])["metadatas"]
        if not found:
            return None
        values: Any = found[0]
        return Identity(**{name: values[name] for name in Identity.__slots__ if name in values})

    def collections(self) -> list[str]:
        """Names of the collections that exist, sorted."""
        with self._calls.doing("list collections"):
            return sorted(name for name in self._names() if "." not in name)

    def places(self) -> list[str]:
        """Collections that count against the cap: also those that have only outcomes so far."""
        with self._calls.doing("list collections"):
            return sorted({name.removesuffix(OUTCOMES_SUFFIX) for name in self._names() if name != IDENTITY})

    def exists(self, collection: str) -> bool:
        """Whether the collection exists; cheap, since collections are not removed."""
        with self._calls.doing(f"find collection {collection}"):
            return self._find(collection) is not None

    def count(self, collection: str) -> int:
        """Number of events in the collection."""
        with self._calls.doing(f"count collection {collection}"):
            found = self._find(collection)
            return found.count() if found else 0

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Rows of those of `ids` that exist."""
        found: dict[str, Row] = {}
        with self._rwlock.reading(), self._calls.doing(f"read collection {collection}"):
            events = self._find(collection)
            if events is None:
                return found
            for part in parts(ids, READ_ROWS):
                got: Any = events.get(ids=part, include=["metadatas", "documents"])
                found |= {row.event.id: row for row in _read_rows(got)}
        return found

    def vector(self, collection: str, event_id: str) -> Vector | None:
        """The stored vector of one event."""
        with self._rwlock.reading(), self._calls.doing(f"read collection {collection}"):
            events = self._find(collection)
            got: Any = events.get(ids=[event_id], include=["embeddings"])["embeddings"] if events else ()
            return np.asarray(got[0], dtype=np.float32) if len(got) else None

    def outcomes(self, collection: str, ids: Sequence[str]) -> dict[str, OutcomeRecord]:
        """The latest outcomes of those of `ids` that have one."""
        found: dict[str, OutcomeRecord] = {}
        with self._calls.doing(f"read the outcomes of {collection}"):
            companion = self._find(collection + OUTCOMES_SUFFIX)
            if companion is None:
                return found
            for part in parts(ids, READ_ROWS):
                got: Any = companion.get(ids=part, include=["metadatas"])
                for event_id, metadata in zip(got["ids"], got["metadatas"], strict=True):
                    record = read_outcome(metadata)
                    if record is not None:
                        found[event_id] = record
        return found

    def older(self, collection: str, seq: int, limit: int) -> tuple[list[Row], list[str]]:
        """Rows below `seq`, and ids whose outcome is below it; at most `limit` of each."""
        with self._rwlock.reading(), self._calls.doing(f"look for old events of {collection}"):
            events, companion = self._find(collection), self._find(collection + OUTCOMES_SUFFIX)
            old, decided = Where({"seq": {"$lt": seq}}), Where({"outcome_seq": {"$lt": seq}})
            rows = events and events.get(limit=limit, include=["metadatas", "documents"], **narrowed(old))
            outcomes = companion and companion.get(limit=limit, include=[], **narrowed(decided))
            return _read_rows(rows) if rows else [], list(outcomes["ids"]) if outcomes else []

    def decided_within(self, collection: str, first_seq: int, last_seq: int) -> dict[str, int]:
        """Ids whose latest outcome lies from `first_seq` to `last_seq`, and where."""
        with self._rwlock.reading(), self._calls.doing(f"read the outcomes of {collection}"):
            companion = self._find(collection + OUTCOMES_SUFFIX)
            if companion is None:
                return {}
            within = Where({"$and": [{"outcome_seq": {"$gte": first_seq}}, {"outcome_seq": {"$lte": last_seq}}]})
            got: Any = companion.get(include=["metadatas"], **narrowed(within))
            return {one: int(found["outcome_seq"]) for one, found in zip(got["ids"], got["metadatas"], strict=True)}

    def nearest(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[Row, float]]:
        """Up to `n` rows nearest to `vector` with their cosine similarity, best first."""
        with self._rwlock.reading(), self._calls.doing(f"search collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            answer: Any = events.query(
                query_embeddings=np.stack([vector]),
                n_results=n,
                include=["metadatas", "documents", "distances"],
                **narrowed(where),
            )
        rows = zip(answer["metadatas"][0], answer["documents"][0], answer["distances"][0], strict=True)
        found = [(read_row(metadata, document), _similarity(distance)) for metadata, document, distance in rows]
        return sorted(found, key=lambda pair: -pair[1])

    def nearest_ids(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[str, float]]:
        """As `nearest`, with ids only."""
        with self._rwlock.reading(), self._calls.doing(f"search collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            answer: Any = events.query(
                query_embeddings=np.stack([vector]), n_results=n, include=["distances"], **narrowed(where)
            )
        pairs = zip(answer["ids"][0], answer["distances"][0], strict=True)
        return sorted(((event_id, _similarity(distance)) for event_id, distance in pairs), key=lambda pair: -pair[1])

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors of the rows that match `where`, at most `limit`."""
        with self._rwlock.reading(), self._calls.doing(f"scan collection {collection}"):
            events = self._find(collection)
            if events is None:
                return [], np.empty((0, 0), dtype=np.float32)
            got: Any = events.get(include=["embeddings"], limit=limit, **narrowed(where))
            return got["ids"], np.asarray(got["embeddings"], dtype=np.float32)

    def window(self, collection: str, first_seq: int, last_seq: int, where: Where | None) -> list[Row]:
        """The rows with sequences from `first_seq` to `last_seq` that match `where`, sorted."""
        clauses: list[Any] = [{"seq": {"$gte": first_seq}}, {"seq": {"$lte": last_seq}}]
        if where is not None and where.metadata is not None:
            clauses.append(where.metadata)
        within = Where({"$and": clauses}, where.contains if where else None)
        with self._rwlock.reading(), self._calls.doing(f"list collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            got = events.get(include=["metadatas", "documents"], **narrowed(within))
            return sorted(_read_rows(got), key=lambda row: row.seq)

    def ids(self, collection: str) -> list[str]:
        """Every id that has an event or an outcome."""
        with self._rwlock.reading(), self._calls.doing(f"list the ids of {collection}"):
            found = (self._find(collection), self._find(collection + OUTCOMES_SUFFIX))
            return list({one for held in found if held for one in held.get(include=[])["ids"]})

    def digests(self, collection: str, ids: Sequence[str]) -> dict[str, StoredDigests]:
        """Digests of what is stored for those of `ids` that have an event or an outcome."""
        with self._rwlock.reading(), self._calls.doing(f"read collection {collection}"):
            return _read_digests(self._find(collection), self._find(collection + OUTCOMES_SUFFIX), ids)

    def close(self) -> None:
        """Close; every later call fails."""
        self._calls.end()
        self._open.clear()

    def _names(self) -> list[str]:
        """Names of the collections with this store's prefix, without the prefix."""
        names = collection_names(self._client)
        return [name.removeprefix(self._prefix) for name in names if name.startswith(self._prefix)]

    def _find(self, name: str) -> Collection | None:
        if name not in self._open:
            try:
                self._open[name] = self._client.get_collection(self._prefix + name, embedding_function=None)
            except NotFoundError:
                return None
        return self._open[name]


def collection_names(client: ClientAPI) -> list[str]:
    """Names of all collections of the client."""
    names: list[str] = []
    while found := client.list_collections(limit=_LIST_COLLECTIONS, offset=len(names)):
        names += [one.name for one in found]
    return names


def narrowed(where: Where | None) -> dict[str, Any]:
    """Keyword arguments of a read or a query that apply a filter."""
    arguments: dict[str, Any] = {}
    if where is not None and where.metadata is not None:
        arguments["where"] = where.metadata
    if where is not None and where.contains is not None:
        arguments["where_document"] = {"$contains": where.contains}
    return arguments


def parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """`items` in lists of at most `size`."""
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _read_rows(got: Any) -> list[Row]:  # noqa: ANN401 -- Chroma's answer is a loosely typed dictionary
    return [read_row(metadata, document) for metadata, document in zip(got["metadatas"], got["documents"], strict=True)]


def _similarity(distance: float) -> float:
    # Six digits: the displacement of equal vectors changes the digits after them.
    return max(-1.0, min(1.0, round(1.0 - float(distance), 6)))


def _read_digests(events: Any, companion: Any, ids: Sequence[str]) -> dict[str, StoredDigests]:  # noqa: ANN401 -- Chroma's collections
    """Digests of those of `ids` that have a row or an outcome; a collection that does not exist is None."""
    kept = {}
    if companion is not None:
        got = companion.get(ids=list(ids), include=["metadatas"])
        kept = {
            event_id: stored_outcome(metadata or {})
            for event_id, metadata in zip(got["ids"], got["metadatas"], strict=True)
        }
    found = {event_id: StoredDigests(kept=outcome) for event_id, outcome in kept.items()}
    if events is None:
        return found
    got = events.get(ids=list(ids), include=["metadatas", "documents"])
    having = _having_vectors(events, got["ids"])
    for event_id, metadata, document in zip(got["ids"], got["metadatas"], got["documents"], strict=True):
        found[event_id] = StoredDigests(
            event=stored_event(metadata or {}, document),
            shown=stored_outcome(metadata or {}),
            kept=kept.get(event_id),
            has_vector=event_id in having,
        )
    return found


def _having_vectors(events: Any, ids: Sequence[str]) -> set[str]:  # noqa: ANN401 -- as above
    """Those of `ids` whose vector can be read: one unreadable vector fails a whole read, so reads are bisected."""
    if not ids:
        return set()
    try:
        got = events.get(ids=list(ids), include=["embeddings"])
    except Exception:  # noqa: BLE001 -- Chroma raises many kinds of errors over a row without its vector
        if len(ids) == 1:
            return set()
        half = len(ids) // 2
        return _having_vectors(events, ids[:half]) | _having_vectors(events, ids[half:])
    return {
        event_id
        for event_id, vector in zip(got["ids"], got["embeddings"], strict=True)
        if vector is not None and np.isfinite(vector).all() and np.any(vector)
    }
