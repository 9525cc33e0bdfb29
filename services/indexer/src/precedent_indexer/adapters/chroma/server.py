"""The index in a Chroma server that several replicas share; one of them writes, by a lease."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import chromadb
import numpy as np
import structlog
from chromadb.api import ClientAPI
from chromadb.api.models.Collection import Collection
from chromadb.config import Settings as ChromaSettings
from chromadb.errors import NotFoundError

from precedent_indexer.adapters.chroma.faults import StoreCalls
from precedent_indexer.adapters.chroma.reading import READ_ROWS, collection_names, narrowed, parts
from precedent_indexer.adapters.chroma.writer_registry import WriterRegistry
from precedent_indexer.adapters.chroma.writing import ChromaTables
from precedent_indexer.domain.index_state import Identity, Vectors, Where
from precedent_indexer.domain.rows import Row
from precedent_indexer.domain.writers import Fence
from precedent_indexer.errors import StartRefused, StoreUnavailable
from precedent_indexer.index.layout import GENERATION_PREFIX
from precedent_indexer.settings import Settings, without_secrets

log = structlog.get_logger(__name__)

REQUEST_TIMEOUT_S: Final = 30.0
"""Seconds that a request may take; Chroma's client has no limit by default."""
_BETWEEN_TRIES_S: Final = 0.5
_CONFESSIONS: Final = 10
_LOOK_AGAIN_S: Final = 0.05


class ServedStore(ChromaTables):
    """One generation of the index on the server."""

    def __init__(self, client: ClientAPI, registry: WriterRegistry, generation: str, fence: Fence | None) -> None:
        """`fence`: the lease of the replica that writes; None for a replica that only reads."""
        super().__init__(client, f"{generation}.")
        self._generation = generation
        self._registry = registry
        self._fence = fence

    def identity(self) -> Identity | None:
        """The stored identity of the index; None if there is none yet."""
        return self._registry.read().identities.get(self._generation)

    def set_identity(self, identity: Identity) -> None:
        """Store it; durable on return."""
        with self._calls.doing("write the index's identity"), self._sending():
            self._registry.keep_identity(self._fence.token if self._fence else 0, self._generation, identity)

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Rows of those of `ids` that exist."""
        found = super().rows(collection, ids)
        missing = [one for one in ids if one not in found]
        if missing and self._fence is None:
            # The writer revises a row by removing and adding it, so a missing row is looked up again.
            time.sleep(_LOOK_AGAIN_S)
            found |= super().rows(collection, missing)
        return found

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors of the rows that match `where`, at most `limit`."""
        with self._calls.doing(f"scan collection {collection}"):
            events = self._find(collection)
            # Ids first: pages by offset would shift when rows are added or removed.
            wanted = events.get(include=[], limit=limit, **narrowed(where))["ids"] if events is not None else []
            ids: list[str] = []
            found = []
            for part in parts(wanted, READ_ROWS):
                got: Any = events.get(ids=part, include=["embeddings"]) if events is not None else {}
                ids += got["ids"]
                found.append(np.asarray(got["embeddings"], dtype=np.float32))
            return ids, np.concatenate(found) if ids else np.empty((0, 0), dtype=np.float32)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        if self._fence is None:
            raise StoreUnavailable("another replica writes the index")
        self._fence.check()
        try:
            yield
        finally:
            if not self._fence.holds:
                self._confess(self._fence.token)
        self._fence.check()

    def _confess(self, token: int) -> None:
        """Record that a request has ended after the lease: the next writer then repairs what it may have damaged."""
        for _ in range(_CONFESSIONS):
            try:
                self._registry.set_late(token, late=True)
            except StoreUnavailable:
                time.sleep(_BETWEEN_TRIES_S)
            else:
                log.warning("late_write", token=token, generation=self._generation)
                return
        log.error("late_write_not_noted", token=token, remedy="run `precedent-indexer verify --repair`")


class ChromaServer:
    """The server: the generations of the index, and the registry of writers."""

    def __init__(self, client: ClientAPI) -> None:
        self._client = client
        self._calls = StoreCalls()
        self.registry = WriterRegistry(client)

    @classmethod
    def connect(cls, settings: Settings) -> "ChromaServer":
        """Connect, with retries for `precedent_start_timeout_s` seconds; blocks.

        Raises:
            StartRefused: the address is malformed, or no server answers there.
        """
        url = settings.precedent_chroma_url or ""
        address = urlsplit(url)
        if address.scheme not in {"http", "https"} or not address.hostname or "@" in url or address.path.strip("/"):
            raise StartRefused(
                f"PRECEDENT_CHROMA_URL is {without_secrets(url)!r}: give http(s)://host:port; a token goes into "
                "PRECEDENT_CHROMA_TOKEN"
            )
        token = settings.precedent_chroma_token
        deadline = time.monotonic() + settings.precedent_start_timeout_s
        while True:
            try:
                client = chromadb.HttpClient(
                    address.hostname,
                    address.port or (443 if address.scheme == "https" else 8000),
                    ssl=address.scheme == "https",
                    headers={"Authorization": f"Bearer {token.get_secret_value()}"} if token else None,
                    settings=ChromaSettings(anonymized_telemetry=False, chroma_otel_granularity=None),
                )
            except Exception as error:  # any error of the client
                if time.monotonic() >= deadline:
                    raise StartRefused(
                        f"no Chroma server answers at PRECEDENT_CHROMA_URL={without_secrets(url)} "
                        f"({type(error).__name__}): start it, or give its address"
                    ) from error
                time.sleep(_BETWEEN_TRIES_S)
            else:
                _bound_requests(client)
                return cls(client)

    def open(self, generation: str, fence: Fence | None = None) -> ServedStore:
        """One generation; nothing is created before the first write."""
        return ServedStore(self._client, self.registry, generation, fence)

    def generations(self) -> list[str]:
        """Names of the generations that have collections."""
        with self._calls.doing("list collections"):
            names = {name.partition(".")[0] for name in collection_names(self._client)}
        return sorted(name for name in names if name.startswith(GENERATION_PREFIX))

    def tables(self, generation: str) -> list[Collection]:
        """Chroma's collections of a generation."""
        names = [name for name in collection_names(self._client) if name.startswith(f"{generation}.")]
        return [self._client.get_collection(name, embedding_function=None) for name in names]

    def drop(self, generation: str) -> None:
        """Remove a generation."""
        with self._calls.doing("remove a generation"):
            for name in collection_names(self._client):
                if name.startswith(f"{generation}."):
                    with contextlib.suppress(NotFoundError):
                        self._client.delete_collection(name)
        self.registry.forget(generation)


def _bound_requests(client: Any) -> None:  # noqa: ANN401 -- the interface does not show its session
    client._server._session.timeout = REQUEST_TIMEOUT_S  # noqa: SLF001 -- there is no setting for the timeout
