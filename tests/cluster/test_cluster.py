"""Three servers, streams with three replicas: one may go at any time, and nothing that was acknowledged is lost."""

import asyncio
import shutil

import pytest

from cluster.backend import PATIENCE_S, Backend
from cluster.servers import SIZE, Cluster
from faults.invariant import holds
from faults.ledger import Ledger
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.waits import eventually
from harness.wire import CONSUMER, DEAD_LETTERS, LOG, Wire
from precedent_backend_adapter import Precedent

QUESTIONS = 100
"""Events that are looked for by their own text."""


async def test_init_makes_streams_with_the_replicas_that_are_asked_for(
    cluster: Cluster, wire: Wire, indexer: IndexerProcess
) -> None:
    """Both streams and the consumer lie on all three servers; afterwards their number is the operator's."""
    await cluster.all_current(wire)
    for stream in (LOG, DEAD_LETTERS):
        assert (await wire.api(f"STREAM.INFO.{stream}"))["config"]["num_replicas"] == SIZE
    replicas = (await wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}"))["cluster"]["replicas"]
    assert len(replicas) == SIZE - 1
    again = await asyncio.to_thread(run_indexer_command, ["init"], {"NATS_URL": cluster.urls[1]}, 90)
    assert again.returncode == 0, again.stderr
    assert indexer.returncode is None


@pytest.mark.timeout(360)
@pytest.mark.parametrize("leads", [True, False], ids=["leader", "follower"])
async def test_a_server_is_killed_under_load(
    cluster: Cluster, wire: Wire, indexer: IndexerProcess, *, leads: bool
) -> None:
    """With one server gone events are taken, indexed and found; it comes back, catches up, and nothing is lost.

    The indexer goes on in the same process; then its directory is lost, and it is rebuilt from a log one of whose
    replicas has only just come back.
    """
    ledger = Ledger()
    await cluster.all_current(wire)
    pid = indexer.pid
    leader = await cluster.leader(wire)
    victim = leader if leads else next(name for name in cluster.servers if name != leader)
    async with Precedent.connect(cluster.urls) as precedent, Backend(precedent, ledger) as backend:
        await backend.goes_on()
        cluster.servers[victim].kill()
        await backend.goes_on()
        answered = backend.answered
        await answers_come(backend, answered)
        cluster.servers[victim].start()
        await backend.goes_on()
        assert (indexer.pid, indexer.returncode) == (pid, None)
        indexer.kill()
        shutil.rmtree(indexer.chroma_path)
        indexer.start()
        await backend.goes_on()
        await cluster.all_current(wire)
    await holds(wire, ledger, questions=QUESTIONS)
    print(f"{victim} killed: longest silence {backend.longest_silence_s:.1f} s, {backend.unanswered} unanswered")


@pytest.mark.timeout(360)
async def test_servers_are_restarted_one_after_the_other(cluster: Cluster, wire: Wire, indexer: IndexerProcess) -> None:
    """As for an upgrade: each is stopped politely, comes back and catches up before the next; nobody notices."""
    ledger = Ledger()
    await cluster.all_current(wire)
    pid = indexer.pid
    async with Precedent.connect(cluster.urls) as precedent, Backend(precedent, ledger) as backend:
        for server in cluster.servers.values():
            await backend.goes_on()
            await asyncio.to_thread(server.stop)
            await backend.goes_on()
            server.start()
            await cluster.all_current(wire)
        await backend.goes_on()
        assert (indexer.pid, indexer.returncode) == (pid, None)
    await holds(wire, ledger, questions=QUESTIONS)
    print(f"restarted: longest silence {backend.longest_silence_s:.1f} s, {backend.unanswered} unanswered")


async def answers_come(backend: Backend, before: int) -> None:
    """Wait until questions are answered that were not asked before."""

    def probe() -> None:
        assert backend.answered > before

    await eventually(probe, timeout=PATIENCE_S)
