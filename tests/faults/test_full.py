"""Nothing fits any more: a publisher is told so, what was acknowledged stays, and with room again all goes on."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import nats.errors
import nats.js.errors
import pytest

from faults.conftest import NewRigged
from faults.disks import Disk
from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from faults.rigging import rigged_indexer
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import DEAD_LETTERS, LOG, AnsweredWithError, Wire

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux fills a disk for one process")

STREAM_IS_FULL = 10077
PASSING = (AssertionError, AnsweredWithError, nats.errors.Error)


async def limit(wire: Wire, stream: str, max_bytes: int) -> None:
    """Set how much a stream may hold; -1 is anything."""
    config = (await wire.api(f"STREAM.INFO.{stream}"))["config"]
    assert "error" not in await wire.api(f"STREAM.UPDATE.{stream}", config | {"max_bytes": max_bytes})


async def used(wire: Wire, stream: str) -> int:
    """Bytes that a stream holds."""
    return int((await wire.api(f"STREAM.INFO.{stream}"))["state"]["bytes"])


async def until_refused(publisher: Publisher) -> nats.errors.Error:
    """Publish until it is refused, or not answered; the error."""
    for _ in range(1000):
        try:
            await publisher.event_once()
        except nats.errors.Error as error:
            return error
    raise AssertionError("a thousand events were taken: nothing was full")


async def test_a_full_log_refuses_and_loses_nothing(
    own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger, publisher: Publisher
) -> None:
    """A log at its limit refuses the publisher by name and drops no history; made larger, it takes events again."""
    async with new_indexer():
        await publisher.events(40)
        await limit(own_wire, LOG, await used(own_wire, LOG) + 10)
        error = await until_refused(publisher)
        assert isinstance(error, nats.js.errors.APIError)
        assert error.err_code == STREAM_IS_FULL
        await holds(own_wire, ledger)
        await limit(own_wire, LOG, -1)
        await publisher.events(10)
        await holds(own_wire, ledger)


async def test_full_dead_letters_lose_nothing(
    own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger, publisher: Publisher
) -> None:
    """While no dead letter can be kept, nothing is passed over: the indexer says what is wrong, and then goes on."""
    async with new_indexer():
        await publisher.poison(b"not json", "malformed")
        await publisher.events(5)
        await own_wire.covered(6)
        await limit(own_wire, DEAD_LETTERS, await used(own_wire, DEAD_LETTERS) + 10)
        seq = await publisher.poison(b"not json either", "malformed")
        await publisher.events(20)

        async def said() -> None:
            stats = await own_wire.stats()
            assert stats.get("state") != "serving"
            assert "dead-letter" in (stats.get("fault") or "")
            assert stats["indexed_seq"] < seq, "it was passed over"

        await eventually(said, timeout=30)
        await limit(own_wire, DEAD_LETTERS, -1)
        await holds(own_wire, ledger)


@pytest.mark.timeout(180)
async def test_a_full_disk_under_the_index(
    server: NatsServer, own_wire: Wire, ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    """With no room to write, events wait in the log and questions about the rest go on; with room, it mends itself."""
    with Disk(tmp_path / "disk") as disk:
        indexer, _ = rigged_indexer(server.url, disk.path)
        async with indexer:
            await publisher.events(300)
            await own_wire.covered(300)
            disk.fill(indexer.pid)
            await publisher.events(300)

            async def said() -> None:
                stats = await own_wire.stats()
                assert stats.get("state") != "serving"
                assert stats["indexed_seq"] < stats["stream_seq"]

            await eventually(said, timeout=30, exceptions=(AssertionError, AnsweredWithError))
            disk.relieve(indexer.pid)
            await holds(own_wire, ledger)
        # What the same process sees may hide what a fresh one finds.
        async with indexer:
            await holds(own_wire, ledger)


@pytest.mark.timeout(180)
async def test_a_full_disk_during_a_rebuild(
    server: NatsServer, own_wire: Wire, ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    """A rebuild without room leaves no half generation and the old one in use; with room, the next one succeeds."""
    with Disk(tmp_path / "disk") as disk:
        indexer, orders = rigged_indexer(server.url, disk.path)
        async with indexer:
            await publisher.events(300)
            await own_wire.covered(300)
            orders.give(store_delay_s=0.3)
            await own_wire.ask("security.index.v1.rebuild")
            await eventually(partial(half_filled, own_wire), timeout=30, interval=0.01)
            disk.fill(indexer.pid)
            ended = await eventually(partial(rebuilt, own_wire), timeout=60, exceptions=PASSING)
            assert ended["outcome"] == "failed" or not disk.is_mounted, ended
            await holds(own_wire, ledger, questions=50)
            disk.relieve(indexer.pid)
            orders.lift()
            await publisher.events(50)
            await own_wire.ask("security.index.v1.rebuild")
            await eventually(partial(alone, indexer, own_wire), timeout=60, exceptions=PASSING)
            await holds(own_wire, ledger)


async def half_filled(wire: Wire) -> None:
    """A second generation holds something already."""
    job = (await wire.stats()).get("job")
    assert job is not None
    assert job["done_seq"] > 0


async def rebuilt(wire: Wire) -> dict[str, Any]:
    """How the rebuild ended."""
    stats = await wire.stats()
    assert stats.get("job") is None
    return dict(stats["last_job"])


async def alone(indexer: IndexerProcess, wire: Wire) -> None:
    """A rebuild was done, and one generation is left."""
    assert (await rebuilt(wire))["outcome"] == "done"
    assert len(list(indexer.chroma_path.glob("generation-*"))) == 1


@pytest.mark.timeout(180)
async def test_a_full_disk_under_the_log(new_rigged: NewRigged, ledger: Ledger, tmp_path: Path) -> None:
    """A server without room acknowledges nothing; with room, and started again as it needs to be, all is there."""
    with Disk(tmp_path / "disk") as disk, NatsServer(disk.path) as server:
        indexer, _ = rigged_indexer(server.url, tmp_path / "rigged")
        async with Wire.connected(server.url) as wire, indexer:
            publisher = Publisher(wire, ledger)
            await publisher.events(100)
            disk.fill(server.pid)
            await until_refused(publisher)
            server.kill()
            disk.relieve(server.pid)
            server.start()
            await publisher.events(20)
            await holds(wire, ledger)
