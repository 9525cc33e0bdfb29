"""Whatever is killed or frozen, at whatever moment: nothing acknowledged is lost, doubled or revived."""

import asyncio
import contextlib
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger
from faults.load import Load
from faults.publishing import Publisher
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import Wire

KILLS = int(os.environ.get("FAULTS_KILLS", "30"))
AIMED_KILLS = int(os.environ.get("FAULTS_AIMED_KILLS", "6"))
KILLING_S = 600
QUESTIONS = 300
"""Events that are looked for by their own text, where there are thousands."""
SYNC_ROWS = 300
"""Rows after which Chroma writes the graph of neighbours to its files."""


def dice_of(name: str) -> random.Random:
    """Random numbers that the next run can have again: FAULTS_SEED is printed where a test fails."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"{name}: FAULTS_SEED={seed}")
    return random.Random(f"{name} {seed}")


@pytest.mark.timeout(KILLING_S)
async def test_kills_at_random_points_under_load(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """Killed thirty times, at random moments of its start and of its work, while everything goes on around it."""
    dice = dice_of("kills")
    indexer, _ = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    # No life is long enough for an answer, perhaps, until the last.
    async with Load(own_wire, ledger, dice.randrange(10**6), per_second=100, patience=KILLING_S):
        for number in range(KILLS):
            # The moment is what is random here, of a start or of the work after it; nothing waits for it.
            if number % 2:
                await asyncio.sleep(dice.uniform(0, 3))
            else:
                await indexer.wait_ready()
                await asyncio.sleep(dice.uniform(0, 1))
            indexer.kill()
            indexer.start()
        await indexer.wait_ready()
    await holds(own_wire, ledger, questions=QUESTIONS)


@pytest.mark.timeout(KILLING_S)
async def test_kills_while_the_graph_is_written(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """Killed while Chroma writes its graph to its files, which can break them for good, it recovers unasked.

    Files that were torn may be read without complaint and end the process when they are written next; started again,
    as any supervisor does, it finds out and begins the index anew.
    """
    dice = dice_of("aimed kills")
    publisher = Publisher(own_wire, ledger, seed=1)
    indexer, _ = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    async with supervised(indexer):
        for _ in range(AIMED_KILLS):
            before = graph_files(indexer.chroma_path)
            await publisher.events(SYNC_ROWS + 100)

            def written(before: dict[Path, int] = before) -> None:
                assert graph_files(indexer.chroma_path) != before

            await eventually(written, timeout=120, interval=0.0005)
            await asyncio.sleep(dice.uniform(0, 0.01))
            indexer.kill()
            await own_wire.covered(ledger.last_seq)
        await holds(own_wire, ledger, questions=QUESTIONS)


@contextlib.asynccontextmanager
async def supervised(indexer: IndexerProcess) -> AsyncIterator[None]:
    """As any supervisor does: within, it is started again whenever it has ended."""

    async def watch() -> None:
        while True:
            if indexer.returncode is not None:
                indexer.start()
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


def graph_files(directory: Path) -> dict[Path, int]:
    """When each file of a graph was written last."""
    found = {}
    for path in directory.glob("generation-*/*/*.bin"):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # Replaced at this very moment.
    return found


async def test_the_server_is_killed_under_load(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger
) -> None:
    """What the server acknowledged survives its kill; the indexer goes on in the same process."""
    dice = dice_of("server kills")
    async with new_indexer() as indexer:
        pid = indexer.pid
        async with Load(own_wire, ledger, dice.randrange(10**6), per_second=150):
            for _ in range(4):
                await asyncio.sleep(dice.uniform(0.2, 1))
                server.kill()
                server.start()
        await holds(own_wire, ledger)
        assert (indexer.pid, indexer.returncode) == (pid, None)


async def test_the_server_hangs_under_load(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger
) -> None:
    """A server that is frozen, for longer than the client's pings allow, costs time and nothing else."""
    async with new_indexer() as indexer:
        pid = indexer.pid
        async with Load(own_wire, ledger, 1, per_second=150):
            await asyncio.sleep(0.5)
            server.pause()
            # Two pings of five seconds that are not answered end a connection.
            await asyncio.sleep(13)
            server.resume()
        await holds(own_wire, ledger)
        assert (indexer.pid, indexer.returncode) == (pid, None)


async def test_both_are_killed_under_load(
    server: NatsServer, own_wire: Wire, new_rigged: NewRigged, ledger: Ledger
) -> None:
    """Indexer and server killed together, the one or the other back first."""
    dice = dice_of("kills of both")
    indexer, _ = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    async with Load(own_wire, ledger, dice.randrange(10**6), per_second=150):
        for server_first in (True, False):
            await asyncio.sleep(dice.uniform(0.2, 1))
            indexer.kill()
            server.kill()
            starts = [server.start, indexer.start]
            for start in starts if server_first else reversed(starts):
                start()
            await indexer.wait_ready()
    await holds(own_wire, ledger)


async def test_sigterm_in_mid_batch(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """Told to end in the middle of a batch, it ends with 0 in its time; what it had in hand is with the next life."""
    publisher = Publisher(own_wire, ledger, seed=1)
    indexer, orders = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    orders.give(embed_delay_s=0.01)
    await publisher.events(1_000)
    for _ in range(2):
        await own_wire.covered((await own_wire.stats())["indexed_seq"] + 1)
        stats = await own_wire.stats()
        assert stats["indexed_seq"] < stats["stream_seq"], "nothing in hand: the test proves nothing"
        assert await indexer.terminate() == 0
        indexer.start()
        await indexer.wait_ready()
    orders.lift()
    await holds(own_wire, ledger)
