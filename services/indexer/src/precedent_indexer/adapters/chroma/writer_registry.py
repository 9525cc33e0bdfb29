"""The registry of a shared index on the Chroma server: the generation in use, identities, terms of the writers.

Chroma has no compare-and-set, and a late writer must not overwrite rows of a later one. So each writer writes only rows
with its own token, and of several rows about the same thing the one with the highest token counts.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.errors import NotFoundError

from precedent_indexer.adapters.chroma.faults import StoreCalls
from precedent_indexer.adapters.chroma.writing import points
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.writers import WriterHistory, WriterTerm

COLLECTION: Final = "precedent.books"
_CURRENT: Final = "current"
_IDENTITY: Final = "identity"
_TERM: Final = "tenure"


class WriterRegistry:
    """The registry of one Chroma server."""

    def __init__(self, client: ClientAPI) -> None:
        self._client = client
        self._collection: Collection | None = None
        self._calls = StoreCalls()

    def read(self) -> WriterHistory:
        """The state of the index, read in one request."""
        with self._using("read the registry of writers") as collection:
            found: Any = collection.get(include=["metadatas"])["metadatas"] if collection is not None else []
        rows = sorted(found, key=lambda row: row["token"])
        identities = {row["generation"]: _identity(row) for row in rows if row["what"] == _IDENTITY}
        current = [row["generation"] for row in rows if row["what"] == _CURRENT]
        terms = [
            WriterTerm(row["token"], row["since"], row["ended"], row["late"]) for row in rows if row["what"] == _TERM
        ]
        return WriterHistory(current[-1] if current else None, identities, terms)

    def use(self, token: int, generation: str) -> None:
        """Put a generation into use, atomically."""
        self._put(_CURRENT, f"{_CURRENT}.{token}", token, generation=generation)

    def keep_identity(self, token: int, generation: str, identity: Identity) -> None:
        """Store it; durable on return."""
        values = {name: getattr(identity, name) for name in Identity.__slots__}
        self._put(_IDENTITY, f"{_IDENTITY}.{generation}.{token}", token, generation=generation, **values)

    def forget(self, generation: str) -> None:
        """Remove the identities of a generation that was removed."""
        with self._using("write the registry of writers") as collection:
            if collection is not None:
                collection.delete(where={"$and": [{"what": _IDENTITY}, {"generation": generation}]})

    def forget_writers(self, before: int) -> None:
        """Remove the rows of writers with a token below `before`; later writers have written the same again."""
        earlier: Any = {"token": {"$lt": before}}
        with self._using("write the registry of writers") as collection:
            if collection is not None:
                collection.delete(where=earlier)

    def keep_term(self, term: WriterTerm) -> None:
        """Store it; durable on return."""
        values = asdict(term)
        self._put(_TERM, f"{_TERM}.{term.token}", values.pop("token"), **values)

    def set_late(self, token: int, *, late: bool) -> None:
        """Record whether the writer with this token may have finished a request after it lost the lease."""
        with self._using("write the registry of writers") as collection:
            if collection is not None:
                # Only this key: another writer may have changed the rest of the row.
                collection.update(ids=[f"{_TERM}.{token}"], metadatas=[{"late": late}])

    @contextlib.contextmanager
    def _using(self, what: str, *, make: bool = False) -> Iterator[Collection | None]:
        with self._calls.doing(what):
            if self._collection is None and make:
                self._collection = self._client.create_collection(
                    COLLECTION, embedding_function=None, get_or_create=True
                )
            elif self._collection is None:
                with contextlib.suppress(NotFoundError):
                    self._collection = self._client.get_collection(COLLECTION, embedding_function=None)
            try:
                yield self._collection
            except NotFoundError:
                # The server has lost its data, and may have another collection of this name by now.
                self._collection = None
                raise

    def _put(self, what: str, row: str, token: int, **values: object) -> None:
        metadata: Any = {"what": what, "token": token, **values}
        with self._using("write the registry of writers", make=True) as collection:
            if collection is not None:
                collection.upsert(ids=[row], embeddings=points(1), metadatas=[metadata])


def _identity(row: Any) -> Identity:  # noqa: ANN401 -- Chroma's metadata
    return Identity(**{name: row[name] for name in Identity.__slots__ if name in row})
