"""Where the hostile cases are sent: a server with a password, an indexer behind it, and the books of what was sent."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.wire import Wire
from security.hostile.corpus import COLLECTION
from security.hostile.raw import RawNats

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

USER = "hostile-tests"
PASSWORD = "correct-horse-battery-staple"
_AUTHORIZATION = f'authorization {{ user: "{USER}", password: "{PASSWORD}" }}'


@dataclass(slots=True)
class Books:
    """What was sent, and what became of it.

    Attributes:
        verdicts: cases by their verdict.
        healthy: ids of the good events, in the order of the log.
        stored: sequences that the log acknowledged.
        indexed: ids of hostile events that are in the index, as they must be.
        dead: sequences that are dead letters, as they must be.
        payloads: of the cases, for a look through the logs.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    healthy: list[str] = field(default_factory=list)
    stored: set[int] = field(default_factory=set)
    indexed: set[str] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    payloads: dict[str, bytes] = field(default_factory=dict)

    def summary(self) -> list[str]:
        """Lines for people."""
        cases = sum(self.verdicts.values())
        counted = [f"{count:5}  {verdict}" for verdict, count in sorted(self.verdicts.items())]
        return [f"{cases} hostile cases, {len(self.healthy)} healthy events behind them, all found", *counted]


@dataclass(frozen=True, slots=True)
class Arena:
    """Both, running."""

    server: NatsServer
    indexer: IndexerProcess
    log_path: Path
    books: Books

    def wire(self) -> AbstractAsyncContextManager[Wire]:
        """A well-behaved caller."""
        return Wire.connected(self.server.url.replace("//", f"//{USER}:{PASSWORD}@"))

    def raw(self) -> AbstractAsyncContextManager[RawNats]:
        """A caller who minds nothing."""
        return RawNats.connected(self.server.port, USER, PASSWORD)

    async def healthy(self, wire: Wire, name: str) -> None:
        """Publish a good event, and find it."""
        number = len(self.books.healthy)
        event_id, text = f"healthy-{number}", f"healthy event {number} behind {name}"
        seq = await wire.event(COLLECTION, text, id=event_id)
        self.books.stored.add(seq)
        self.books.healthy.append(event_id)
        assert (await wire.found(COLLECTION, text=text, k=1, min_seq=seq)) == [event_id], name


@contextlib.asynccontextmanager
async def open_arena(folder: Path) -> AsyncIterator[Arena]:
    """Start both in `folder`, with one good event in the collection, and end them."""
    credentials = {"user": USER, "password": PASSWORD}
    settings = {"NATS_USER": USER, "NATS_PASSWORD": PASSWORD, "PRECEDENT_LOG_LEVEL": "debug"}
    log_path = folder / "indexer.log"
    with NatsServer(folder / "jetstream", config=_AUTHORIZATION) as server:
        indexer = IndexerProcess(
            server.url, folder / "chroma", env=settings, log_path=log_path, probe_options=credentials
        )
        async with indexer:
            arena = Arena(server, indexer, log_path, Books())
            async with arena.wire() as wire:
                await arena.healthy(wire, "nothing yet")
            yield arena
