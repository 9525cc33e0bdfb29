"""A Chroma server, and indexers that share it."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from faults.rigging import Orders, rigged_indexer
from harness.child_process import ChildProcess, scrubbed_environment
from harness.indexer_process import INDEXER, IndexerProcess
from harness.waits import eventually

if TYPE_CHECKING:
    from harness.wire import Wire

_CHROMA: Final = INDEXER.parent / "chroma"
PATIENCE_S: Final = 90.0
LEASE_S: Final = 3


class ChromaProcess:
    """Chroma's own server on a loopback port."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._files = folder / "chroma-server"
        self._process = ChildProcess("chroma", folder / "chroma-server.log")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, or start it again on the same files."""
        command: list[str | Path] = [
            _CHROMA,
            "run",
            "--path",
            self._files,
            "--host",
            "127.0.0.1",
            "--port",
            str(self._port),
        ]
        self._process.spawn(command, scrubbed_environment({}))

    async def wait_ready(self) -> None:
        """Wait until it listens."""

        def listens() -> None:
            with socket.socket() as probe:
                probe.settimeout(1)
                assert probe.connect_ex(("127.0.0.1", self._port)) == 0

        await eventually(listens, timeout=PATIENCE_S)

    def kill(self) -> None:
        """End it."""
        self._process.kill()


class Replicas:
    """Indexers over one Chroma server, each with a folder of its own."""

    def __init__(self, nats_url: str, chroma_url: str, folder: Path, count: int) -> None:
        made = [
            rigged_indexer(
                nats_url,
                folder / f"replica-{number}",
                PRECEDENT_CHROMA_URL=chroma_url,
                PRECEDENT_LEASE_S=str(LEASE_S),
            )
            for number in range(count)
        ]
        self.all: list[IndexerProcess] = [indexer for indexer, _ in made]
        self._orders: list[Orders] = [orders for _, orders in made]

    async def start(self) -> Self:
        """All of them, at the same time."""
        for one in self.all:
            one.start()
        for one in self.all:
            await one.wait_ready(PATIENCE_S)
        return self

    def orders(self, of: IndexerProcess) -> Orders:
        """What may be ordered of one of them."""
        return self._orders[self.all.index(of)]

    async def writer(self, wire: Wire, *, but: IndexerProcess | None = None) -> IndexerProcess:
        """The one that writes, as the bus says it: `stats` is answered by it alone."""

        async def probe() -> IndexerProcess:
            claims = [(self._token(one), one) for one in self.all if one is not but and one.returncode is None]
            token, one = max(claims, key=lambda claim: claim[0])
            held = await wire.stored(1, stream="KV_PRECEDENT_LEASES", subject="$KV.PRECEDENT_LEASES.indexer")
            assert held is not None
            claim: dict[str, Any] = json.loads(held.data)
            assert claim["holder"]
            assert claim["token"] == token
            return one

        return await eventually(probe, timeout=PATIENCE_S)

    def other(self, than: IndexerProcess) -> IndexerProcess:
        """One that is not `than`."""
        return next(one for one in self.all if one is not than)

    def kill(self) -> None:
        """End all of them."""
        for one in self.all:
            one.kill()

    @staticmethod
    def _token(one: IndexerProcess) -> int:
        """With which it wrote last, in this life or an earlier one."""
        return max((entry["token"] for entry in one.logs() if entry.get("event") == "writing"), default=0)
