"""The index in an embedded Chroma: the files of one generation, which this process alone has open."""

import contextlib
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
from chromadb.api import ClientAPI
from chromadb.config import Settings as ChromaSettings

from precedent_indexer.adapters.chroma.shortage import shortage
from precedent_indexer.adapters.chroma.writing import ChromaTables
from precedent_indexer.errors import IndexBroken, ResourceShortage
from precedent_indexer.runtime.file_lock import exclusive_lock
from precedent_indexer.runtime.memory import wipe_memory


def open_client(directory: Path) -> ClientAPI:
    """Open Chroma on the files in `directory`, which no other process may have open."""
    # Chroma's traces are off, whatever the environment says: they would set OpenTelemetry's global provider.
    settings = ChromaSettings(anonymized_telemetry=False, chroma_otel_granularity=None, allow_reset=False)
    return chromadb.PersistentClient(str(directory), settings=settings)


def _write_ahead(directory: Path) -> None:
    """Switch Chroma's database to a write-ahead log: a commit then syncs once instead of several times."""
    with contextlib.closing(sqlite3.connect(directory / "chroma.sqlite3")) as database:
        database.execute("PRAGMA journal_mode=WAL")


class ChromaStore(ChromaTables):
    """One generation of the index."""

    @classmethod
    def open(cls, directory: Path) -> "ChromaStore":
        """Open or create the Chroma files in `directory`.

        Raises:
            IndexBroken: the files cannot be read.
            ResourceShortage: the system does not give what that needs.
        """
        wipe_memory()
        try:
            _write_ahead(directory)
            store = cls(open_client(directory), exclusive_lock=partial(exclusive_lock, directory))
            store.identity()
            store.probe()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # Chroma raises many kinds of errors over broken files, even a panic of its core
            lacking = shortage(error, directory)
            if lacking is not None:
                raise ResourceShortage(f"the index in {directory} cannot be opened: {lacking}") from error
            raise IndexBroken(f"the index in {directory} cannot be opened: {type(error).__name__}") from error
        return store

    def probe(self) -> None:
        """Query every collection once, so that a broken segment is found now rather than in use."""
        for one in self._client.list_collections():
            collection = self._client.get_collection(one.name, embedding_function=None)
            found: Any = collection.get(limit=1, include=["embeddings"])["embeddings"]
            if len(found):
                collection.query(query_embeddings=np.asarray(found, dtype=np.float32), n_results=1, include=[])

    def close(self) -> None:
        """Close the files; every later call fails."""
        super().close()
        with contextlib.suppress(Exception):  # nothing is buffered: writes are durable already
            self._client.close()  # type: ignore[attr-defined] # the interface lacks what the client has
