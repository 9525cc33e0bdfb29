"""A rebuild under load, interrupted or not, and a comparison of log and index: nothing is lost, doubled or mixed."""

import asyncio
import random
import subprocess

import nats.errors
import pytest

from faults.conftest import NewRigged
from faults.invariant import examine, holds
from faults.ledger import Ledger
from faults.load import Load
from faults.publishing import Publisher
from faults.rigging import damage
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.waits import eventually
from harness.wire import AnsweredWithError, Wire

PASSING = (AssertionError, AnsweredWithError, nats.errors.Error)
MARK = "doomed"


async def run(indexer: IndexerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command about the indexer's index, as an operator types it."""
    settings = {"NATS_URL": indexer.nats_url, "PRECEDENT_CHROMA_PATH": str(indexer.chroma_path)}
    return await asyncio.to_thread(run_indexer_command, arguments, settings, 120)


def generations(indexer: IndexerProcess) -> list[str]:
    """What stands in the directory of the index."""
    return sorted(path.name for path in indexer.chroma_path.iterdir())


@pytest.mark.timeout(300)
async def test_a_rebuild_under_load(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """While everything goes on, a new generation takes the place of the old one; no other is left, nothing differs."""
    indexer, _ = new_rigged()
    async with indexer:
        await Publisher(own_wire, ledger).events(400)
        async with Load(own_wire, ledger, 1, per_second=50):
            done = await run(indexer, "rebuild")
            assert done.returncode == 0, done.stderr + done.stdout
        assert generations(indexer) == ["CURRENT", "generation-000002"]
        await holds(own_wire, ledger, questions=300)
        done = await run(indexer, "verify")
        assert done.returncode == 0, done.stderr + done.stdout


async def test_a_rebuild_is_interrupted(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """Killed at random moments of a rebuild, the index is whole each time, and in the end one generation is left."""
    dice = random.Random(5)
    indexer, orders = new_rigged()
    indexer.start()
    await indexer.wait_ready()
    publisher = Publisher(own_wire, ledger)
    names = await publisher.events(300)
    await own_wire.covered(300)
    orders.give(store_delay_s=0.1)
    for _ in range(3):
        await own_wire.ask("security.index.v1.rebuild")

        async def under_way() -> None:
            assert (await own_wire.stats()).get("job")

        await eventually(under_way, timeout=30, interval=0.01)
        await asyncio.sleep(dice.uniform(0, 1))
        indexer.kill()
        await publisher.revise(names[:5])
        indexer.start()
        await indexer.wait_ready()
        await publisher.delete([names.pop()])
    orders.lift()

    async def alone() -> None:
        stats = await own_wire.stats()
        assert not stats.get("job"), stats
        assert len(generations(indexer)) == 2, generations(indexer)

    await eventually(alone, timeout=60, exceptions=PASSING)
    await holds(own_wire, ledger)
    await indexer.terminate()


@pytest.mark.timeout(240)
async def test_an_event_that_ends_the_process_of_a_rebuild(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger
) -> None:
    """An event that is in the index and ends whoever fills the next one is refused in the end, and nobody else is."""
    indexer, orders = new_rigged()
    publisher = Publisher(own_wire, ledger)
    async with indexer:
        await publisher.events(60)
        await publisher.event(text=f"{MARK} {publisher.text()}")
        await publisher.events(60)
        await own_wire.covered(121)
    # Without them, every text is embedded once more.
    for vectors in indexer.chroma_path.glob("generation-*/vectors.sqlite*"):
        vectors.unlink()
    orders.give(die_at_text=MARK)
    indexer.start()
    await indexer.wait_ready()
    starts = 0

    async def rebuilt() -> None:
        nonlocal starts
        if indexer.returncode is not None:
            starts += 1
            indexer.start()
        assert generations(indexer) == ["CURRENT", "generation-000002"], indexer.log_tail()

    async with Load(own_wire, ledger, 1, per_second=30, deletes=False):
        await own_wire.ask("security.index.v1.rebuild")
        await eventually(rebuilt, timeout=150, interval=0.1)
    assert starts == 3
    report = await examine(own_wire, ledger)
    assert (report.problems, report.blamed) == ({}, 1)
    await indexer.terminate()


@pytest.mark.timeout(180)
async def test_what_differs_is_found_and_mended(own_wire: Wire, new_rigged: NewRigged, ledger: Ledger) -> None:
    """Rows that somebody took out, put in or changed behind the indexer's back are named by verify, and mended."""
    indexer, _ = new_rigged()
    async with indexer:
        names = await Publisher(own_wire, ledger).events(100)
        await own_wire.covered(100)
    damage(indexer, "incidents", missing=names[:2], orphaned=["nobody"], changed=names[2:4])
    async with indexer:
        found = await run(indexer, "verify")
        assert found.returncode == 1
        assert all(name in found.stdout for name in (*names[:4], "nobody")), found.stdout + found.stderr
        assert (await run(indexer, "verify", "--repair")).returncode == 0
        assert (await run(indexer, "verify")).returncode == 0
        await holds(own_wire, ledger)
