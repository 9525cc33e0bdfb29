"""The only importer of chromadb: one generation of the index in an embedded Chroma directory.

Each collection of events is a Chroma collection of the same name; `<name>.outcomes` beside it holds the latest
outcome of every event id, also of events that are still to come; `precedent.identity` says what the index is.
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Final

import chromadb
import numpy as np
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import NotFoundError

from precedent_indexer.adapters.chroma_faults import Doings
from precedent_indexer.adapters.chroma_imprints import read_imprints
from precedent_indexer.courtesy import QUESTIONS
from precedent_indexer.errors import IndexBroken
from precedent_indexer.gate import Gate
from precedent_indexer.imprints import StoredImprints
from precedent_indexer.ports import Identity, Vector, Vectors, Where, Writes
from precedent_indexer.records import (
    Metadata,
    OutcomeRecord,
    Row,
    joined_metadata,
    outcome_metadata,
    read_outcome,
    read_row,
    row_document,
    row_metadata,
    written_seqs,
)
from precedent_indexer.symptoms import Symptoms
from precedent_indexer.turns import turn
from precedent_indexer.wiping import wipe_memory

_IDENTITY: Final = "precedent.identity"
_OUTCOMES_SUFFIX: Final = ".outcomes"
_WRITE_ROWS: Final = 64
"""Rows of one write while nobody asks."""
_WRITE_ROWS_ASKED: Final = 8
"""Rows of one write while somebody asks: Chroma holds the interpreter for all of it, and no question must feel that."""
_PATIENCE_S: Final = 0.25
"""Seconds for which a part of a write waits for questions."""
_REMOVE_ROWS: Final = 500
"""Rows of one removal: rare, and a large one should end soon."""
_READ_ROWS: Final = 1_000
"""Ids of one read; SQLite takes some tens of thousands of parameters."""
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


def open_client(directory: Path) -> ClientAPI:
    """Chroma itself on the files in `directory`, which must be this process's alone."""
    # Its traces too are off, whatever the environment says: they would take OpenTelemetry's one global provider.
    settings = ChromaSettings(anonymized_telemetry=False, chroma_otel_granularity=None, allow_reset=False)
    return chromadb.PersistentClient(str(directory), settings=settings)


def _write_ahead(directory: Path) -> None:
    """Let Chroma's database keep a write-ahead log, for good: a commit then syncs once instead of several times."""
    with contextlib.closing(sqlite3.connect(directory / "chroma.sqlite3")) as database:
        database.execute("PRAGMA journal_mode=WAL")


class ChromaStore:
    """One generation of the index."""

    def __init__(
        self, client: ClientAPI, turn: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    ) -> None:
        """`turn`: inside of what it makes, nobody else relies on the files as they are."""
        self._client = client
        self._open: dict[str, Collection] = {}
        self._gate = Gate()
        self._doings = Doings(turn)

    @classmethod
    def open(cls, directory: Path) -> "ChromaStore":
        """Open or make the Chroma files in `directory`.

        Raises:
            IndexBroken: they are there and cannot be read.
        """
        wipe_memory()
        try:
            _write_ahead(directory)
            store = cls(open_client(directory), partial(turn, directory))
            store.identity()
            store.probe()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Chroma raises of many kinds over broken files, a panic of its core among them
            raise IndexBroken(f"the index in {directory} cannot be opened: {type(error).__name__}") from error
        return store

    def probe(self) -> None:
        """Ask every collection for its nearest neighbours once: a broken segment shows itself here, not in use."""
        for one in self._client.list_collections():
            collection = self._client.get_collection(one.name, embedding_function=None)
            found: Any = collection.get(limit=1, include=["embeddings"])["embeddings"]
            if len(found):
                collection.query(query_embeddings=np.asarray(found, dtype=np.float32), n_results=1, include=[])

    @property
    def symptoms(self) -> Symptoms:
        """How it has been."""
        return self._doings.symptoms

    def identity(self) -> Identity | None:
        """What the index knows of itself; None in an empty directory."""
        with self._doings.doing("read the index's identity"):
            collection = self._find(_IDENTITY)
            if collection is None:
                return None
            found = collection.get(ids=[_IDENTITY], include=["metadatas"])["metadatas"]
        if not found:
            return None
        values: Any = found[0]
        return Identity(**{name: values[name] for name in Identity.__slots__ if name in values})

    def set_identity(self, identity: Identity) -> None:
        """Durable when it returns."""
        with self._doings.doing("write the index's identity"):
            collection = self._find(_IDENTITY) or self._make(_IDENTITY)
            values: Any = {name: getattr(identity, name) for name in Identity.__slots__}
            collection.upsert(ids=[_IDENTITY], embeddings=_points(1), metadatas=[values])

    def collections(self) -> list[str]:
        """Names of the collections that exist, sorted."""
        with self._doings.doing("list collections"):
            return sorted(one.name for one in self._client.list_collections() if "." not in one.name)

    def places(self) -> list[str]:
        """Names that count against the cap: collections, and those that have outcomes alone so far."""
        with self._doings.doing("list collections"):
            names = (one.name for one in self._client.list_collections() if one.name != _IDENTITY)
            return sorted({name.removesuffix(_OUTCOMES_SUFFIX) for name in names})

    def exists(self, collection: str) -> bool:
        """Whether it exists; cheap, since what exists stays."""
        with self._doings.doing(f"find collection {collection}"):
            return self._find(collection) is not None

    def create(self, collection: str) -> None:
        """Make a collection; no error when it exists."""
        with self._doings.doing(f"create collection {collection}"):
            self._make(collection)

    def count(self, collection: str) -> int:
        """Events in it."""
        with self._doings.doing(f"count collection {collection}"):
            found = self._find(collection)
            return found.count() if found else 0

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Those of `ids` that are there."""
        found: dict[str, Row] = {}
        with self._gate.reading(), self._doings.doing(f"read collection {collection}"):
            events = self._find(collection)
            if events is None:
                return found
            for part in _parts(ids, _READ_ROWS):
                got: Any = events.get(ids=part, include=["metadatas", "documents"])
                found |= {row.event.id: row for row in _read_rows(got)}
        return found

    def vector(self, collection: str, event_id: str) -> Vector | None:
        """The stored vector of one event."""
        with self._gate.reading(), self._doings.doing(f"read collection {collection}"):
            events = self._find(collection)
            got: Any = events.get(ids=[event_id], include=["embeddings"])["embeddings"] if events else ()
            return np.asarray(got[0], dtype=np.float32) if len(got) else None

    def outcomes(self, collection: str, ids: Sequence[str]) -> dict[str, OutcomeRecord]:
        """The latest outcomes of those of `ids` that have one."""
        found: dict[str, OutcomeRecord] = {}
        with self._doings.doing(f"read the outcomes of {collection}"):
            companion = self._find(collection + _OUTCOMES_SUFFIX)
            if companion is None:
                return found
            for part in _parts(ids, _READ_ROWS):
                got: Any = companion.get(ids=part, include=["metadatas"])
                for event_id, metadata in zip(got["ids"], got["metadatas"], strict=True):
                    record = read_outcome(metadata)
                    if record is not None:
                        found[event_id] = record
        return found

    def write(self, collection: str, writes: Writes) -> None:
        """Durable when it returns; outcomes first, so that a row never shows one that is not kept."""
        with self._doings.doing(f"write collection {collection}"):
            if writes.outcomes:
                companion = self._make(collection + _OUTCOMES_SUFFIX)
                for part in self._write_parts(list(writes.outcomes.items())):
                    companion.upsert(
                        ids=[event_id for event_id, _ in part],
                        embeddings=_points(len(part)),
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
                events.update(ids=[event_id for event_id, _ in part], metadatas=[change for _, change in part])

    def _write_parts(self, items: Sequence[Any]) -> Iterator[list[Any]]:
        """Parts of one write each: between the questions, and small while somebody asks."""
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
            with self._gate.writing() if revised else contextlib.nullcontext():
                if revised:
                    events.delete(ids=revised)
                events.upsert(
                    ids=[event_id for event_id, _ in part],
                    embeddings=np.stack([vector for _, (_, vector) in part]),
                    documents=[row_document(row) for _, (row, _) in part],
                    metadatas=[row_metadata(row) for _, (row, _) in part],
                )

    def remove(self, collection: str, events: Sequence[str], outcomes: Sequence[str]) -> None:
        """Remove these events and these outcomes; unknown ids are no error."""
        with self._doings.doing(f"remove from collection {collection}"):
            for name, ids in ((collection, events), (collection + _OUTCOMES_SUFFIX, outcomes)):
                found = self._find(name)
                if found is not None:
                    for part in _parts(ids, _REMOVE_ROWS):
                        found.delete(ids=part)

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove every event and outcome below `seq`; how many events."""
        removed = 0
        with self._doings.doing(f"clear collection {collection}"):
            for name, key in ((collection, "seq"), (collection + _OUTCOMES_SUFFIX, "outcome_seq")):
                found = self._find(name)
                while found:
                    ids = found.get(limit=_REMOVE_ROWS, include=[], **_narrowed(Where({key: {"$lt": seq}})))["ids"]
                    if not ids:
                        break
                    found.delete(ids=ids)
                    removed += len(ids) if name == collection else 0
        return removed

    def older(self, collection: str, seq: int, limit: int) -> tuple[list[Row], list[str]]:
        """Rows below `seq`, and ids whose outcome is below it; at most `limit` of each."""
        with self._gate.reading(), self._doings.doing(f"look for old events of {collection}"):
            events, companion = self._find(collection), self._find(collection + _OUTCOMES_SUFFIX)
            old, decided = Where({"seq": {"$lt": seq}}), Where({"outcome_seq": {"$lt": seq}})
            rows = events and events.get(limit=limit, include=["metadatas", "documents"], **_narrowed(old))
            outcomes = companion and companion.get(limit=limit, include=[], **_narrowed(decided))
            return _read_rows(rows) if rows else [], list(outcomes["ids"]) if outcomes else []

    def nearest(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[Row, float]]:
        """Up to `n` rows nearest to `vector` with their cosine similarity, best first."""
        with self._gate.reading(), self._doings.doing(f"search collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            answer: Any = events.query(
                query_embeddings=np.stack([vector]),
                n_results=n,
                include=["metadatas", "documents", "distances"],
                **_narrowed(where),
            )
        rows = zip(answer["metadatas"][0], answer["documents"][0], answer["distances"][0], strict=True)
        found = [(read_row(metadata, document), _similarity(distance)) for metadata, document, distance in rows]
        return sorted(found, key=lambda pair: -pair[1])

    def nearest_ids(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[str, float]]:
        """The same with ids alone."""
        with self._gate.reading(), self._doings.doing(f"search collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            answer: Any = events.query(
                query_embeddings=np.stack([vector]), n_results=n, include=["distances"], **_narrowed(where)
            )
        pairs = zip(answer["ids"][0], answer["distances"][0], strict=True)
        return sorted(((event_id, _similarity(distance)) for event_id, distance in pairs), key=lambda pair: -pair[1])

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors of every row that `where` lets pass, at most `limit`."""
        with self._gate.reading(), self._doings.doing(f"scan collection {collection}"):
            events = self._find(collection)
            if events is None:
                return [], np.empty((0, 0), dtype=np.float32)
            got: Any = events.get(include=["embeddings"], limit=limit, **_narrowed(where))
            return got["ids"], np.asarray(got["embeddings"], dtype=np.float32)

    def window(self, collection: str, first_seq: int, last_seq: int, where: Where | None) -> list[Row]:
        """The rows with sequences from `first_seq` to `last_seq` that `where` lets pass, sorted."""
        clauses: list[Any] = [{"seq": {"$gte": first_seq}}, {"seq": {"$lte": last_seq}}]
        if where is not None and where.metadata is not None:
            clauses.append(where.metadata)
        narrowed = Where({"$and": clauses}, where.contains if where else None)
        with self._gate.reading(), self._doings.doing(f"list collection {collection}"):
            events = self._find(collection)
            if events is None:
                return []
            got = events.get(include=["metadatas", "documents"], **_narrowed(narrowed))
            return sorted(_read_rows(got), key=lambda row: row.seq)

    def ids(self, collection: str) -> list[str]:
        """Every id that has an event or an outcome."""
        with self._gate.reading(), self._doings.doing(f"list the ids of {collection}"):
            found = (self._find(collection), self._find(collection + _OUTCOMES_SUFFIX))
            return list({one for held in found if held for one in held.get(include=[])["ids"]})

    def imprints(self, collection: str, ids: Sequence[str]) -> dict[str, StoredImprints]:
        """What is stored of those of `ids` that have an event or an outcome."""
        with self._gate.reading(), self._doings.doing(f"read collection {collection}"):
            return read_imprints(self._find(collection), self._find(collection + _OUTCOMES_SUFFIX), ids)

    def close(self) -> None:
        """Let go of the files; whatever is asked of it afterwards fails."""
        self._doings.end()
        self._open.clear()
        with contextlib.suppress(Exception):  # nothing is buffered: what was written is durable already
            self._client.close()  # type: ignore[attr-defined] # the interface lacks what the client has

    def _find(self, name: str) -> Collection | None:
        if name not in self._open:
            try:
                self._open[name] = self._client.get_collection(name, embedding_function=None)
            except (NotFoundError, ValueError):
                return None
        return self._open[name]

    def _make(self, name: str) -> Collection:
        found = self._find(name)
        if found is None:
            found = self._client.create_collection(
                name, embedding_function=None, configuration=_CONFIGURATION, get_or_create=True
            )
            self._open[name] = found
        return found


def _narrowed(where: Where | None) -> dict[str, Any]:
    """Arguments that narrow a read or a query."""
    arguments: dict[str, Any] = {}
    if where is not None and where.metadata is not None:
        arguments["where"] = where.metadata
    if where is not None and where.contains is not None:
        arguments["where_document"] = {"$contains": where.contains}
    return arguments


def _read_rows(got: Any) -> list[Row]:  # noqa: ANN401 -- Chroma's answer is a loosely typed dictionary
    return [read_row(metadata, document) for metadata, document in zip(got["metadatas"], got["documents"], strict=True)]


def _points(count: int) -> Any:  # noqa: ANN401 -- Chroma's own type for embeddings is not exported
    """Vectors for what is only ever looked up by id."""
    return [[1.0]] * count


def _parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _similarity(distance: float) -> float:
    # Six digits: beyond them lies the displacement that keeps equal texts apart.
    return max(-1.0, min(1.0, round(1.0 - float(distance), 6)))
