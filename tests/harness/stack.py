"""A nats-server and an indexer on it: the smallest whole of Precedent."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path


NewIndexer = Callable[..., IndexerProcess]
"""The fixture `new_indexer`: an indexer that is not started yet, from an index directory and settings."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Both, running."""

    server: NatsServer
    indexer: IndexerProcess


@contextlib.asynccontextmanager
async def running_stack(
    folder: Path, *, server_config: str = "", env: Mapping[str, str] | None = None
) -> AsyncIterator[Stack]:
    """Start both in `folder`, ready to be asked, and end them.

    Args:
        folder: Holds the log's store, the index directory and what both wrote.
        server_config: Further configuration of the server.
        env: Further settings of the indexer.
    """
    with NatsServer(folder / "jetstream", config=server_config) as server:
        indexer = IndexerProcess(server.url, folder / "chroma", env=env or {}, log_path=folder / "indexer.log")
        async with indexer:
            yield Stack(server, indexer)
