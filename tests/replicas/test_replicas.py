"""Several indexers over one Chroma server: all answer, one writes, and whoever is late spoils nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from faults.invariant import holds
from faults.ledger import Ledger
from faults.load import Load
from faults.publishing import Publisher
from faults.rigging import rigged_indexer
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.waits import eventually
from harness.wire import Wire
from replicas.shared import PATIENCE_S, ChromaProcess, Replicas

C = "incidents"
QUESTIONS = 200
"""Events that are looked for by their own text, where there are many."""

pytestmark = pytest.mark.timeout(300)


async def answered(wire: Wire, endpoint: str) -> dict[int, int]:
    """How many questions of an endpoint each process was given, by its id."""
    inbox = wire.client.new_inbox()
    replies = await wire.client.subscribe(inbox)
    await wire.client.publish("$SRV.STATS.indexer", reply=inbox)
    found: dict[int, int] = {}

    async def both() -> dict[int, int]:
        stats: dict[str, Any] = json.loads((await replies.next_msg(timeout=5)).data)
        counts = {one["name"]: one["num_requests"] for one in stats["endpoints"]}
        found[int(stats["metadata"]["pid"])] = counts[endpoint]
        assert len(found) == 2
        return found

    try:
        return await eventually(both, timeout=PATIENCE_S)
    finally:
        await replies.unsubscribe()


async def test_both_answer_and_one_writes(own_wire: Wire, replicas: Replicas, ledger: Ledger) -> None:
    """Each reads what was just written, whoever wrote it; what only the writer can do, both do through it."""
    publisher = Publisher(own_wire, ledger, seed=1)
    ids = await publisher.events(30)
    for number in range(40):
        text = f"read at once {number}"
        seq = await own_wire.event(C, text, id=f"own-{number}")
        reply = await own_wire.of(C, "search", text=text, min_seq=seq, wait_ms=30_000)
        assert f"own-{number}" in [hit["event"]["id"] for hit in reply["hits"]]
        assert reply["indexed_seq"] >= seq
        await own_wire.of(C, "delete", ids=[f"own-{number}"])
    await publisher.delete(ids[:5])
    counts = await answered(own_wire, "search")
    assert set(counts) == {one.pid for one in replicas.all}
    assert min(counts.values()) > 0
    deleted = await answered(own_wire, "delete")
    assert min(deleted.values()) > 0
    wrote = [one for one in replicas.all if any(entry.get("event") == "writing" for entry in one.logs())]
    assert len(wrote) == 1
    await holds(own_wire, ledger)


async def test_the_writer_is_killed_under_load(own_wire: Wire, replicas: Replicas, ledger: Ledger) -> None:
    """The other takes over, again and again, and nothing is lost, doubled or back."""
    async with Load(own_wire, ledger, 1, per_second=60):
        for _ in range(3):
            writer = await replicas.writer(own_wire)
            await own_wire.covered((await _stats(own_wire))["stream_seq"])
            writer.kill()
            assert await replicas.writer(own_wire, but=writer) is not writer
            writer.start()
            await writer.wait_ready(PATIENCE_S)
    await holds(own_wire, ledger, questions=QUESTIONS)


async def test_the_writer_ends_in_good_order_under_load(own_wire: Wire, replicas: Replicas, ledger: Ledger) -> None:
    """It gives the lease back, so that the other writes at once; nothing is applied twice for it."""
    async with Load(own_wire, ledger, 1, per_second=60):
        writer = await replicas.writer(own_wire)
        assert await writer.terminate() == 0
        assert await replicas.writer(own_wire, but=writer) is not writer
    await holds(own_wire, ledger, questions=QUESTIONS)


async def test_the_writer_is_frozen_under_load(own_wire: Wire, replicas: Replicas, ledger: Ledger) -> None:
    """Another writes meanwhile; when it goes on it sees that, and leaves."""
    async with Load(own_wire, ledger, 1, per_second=60):
        writer = await replicas.writer(own_wire)
        writer.pause()
        await replicas.writer(own_wire, but=writer)
        writer.resume()
        assert await writer.wait_exit(PATIENCE_S) == 1
        writer.start()
        await writer.wait_ready(PATIENCE_S)
    await holds(own_wire, ledger, questions=QUESTIONS)


@pytest.mark.parametrize("event_id", ["new", "known"])
async def test_a_late_write_of_an_older_revision_is_mended(
    own_wire: Wire, replicas: Replicas, ledger: Ledger, event_id: str
) -> None:
    """Frozen right before its request leaves, the writer finishes it long after another has gone on."""
    publisher = Publisher(own_wire, ledger, seed=1)
    await publisher.events(20)
    if event_id == "known":
        await publisher.event(event_id, text="the first")
    late = await _hold_up(own_wire, replicas, event_id, publisher)
    await publisher.event(event_id, text="the newest")
    await publisher.event("between")
    await _covered(own_wire)
    await _let_go(replicas, late)
    await holds(own_wire, ledger)


async def test_a_late_write_brings_nothing_back_that_was_deleted(
    own_wire: Wire, replicas: Replicas, ledger: Ledger
) -> None:
    """What the late one writes was deleted since; it is gone again."""
    publisher = Publisher(own_wire, ledger, seed=1)
    await publisher.events(20)
    late = await _hold_up(own_wire, replicas, "doomed", publisher)
    await publisher.delete(["doomed"])
    await publisher.events(20)
    await _covered(own_wire)
    await _let_go(replicas, late)
    await holds(own_wire, ledger)


async def test_the_chroma_server_is_killed_under_load(
    own_wire: Wire, replicas: Replicas, chroma: ChromaProcess, ledger: Ledger
) -> None:
    """It is waited for, by the writer and by the other, in the same processes."""
    pids = [one.pid for one in replicas.all]
    async with Load(own_wire, ledger, 1, per_second=60):
        chroma.kill()
        await _unavailable(own_wire)
        chroma.start()
    await holds(own_wire, ledger, questions=QUESTIONS)
    assert [one.pid for one in replicas.all] == pids
    assert [one.returncode for one in replicas.all] == [None, None]


async def test_a_rebuild_switches_both(own_wire: Wire, replicas: Replicas, ledger: Ledger) -> None:
    """While it runs and after it, both answer with what is in the log."""
    async with Load(own_wire, ledger, 1, per_second=60):
        await own_wire.ask("security.index.v1.rebuild")

        async def done() -> None:
            assert ((await own_wire.stats()).get("last_job") or {}).get("outcome") == "done"

        await eventually(done, timeout=PATIENCE_S, interval=0.2)

    def followed() -> None:
        for one in replicas.all:
            words = [entry.get("event") for entry in one.logs()]
            assert "rebuild_switched" in words or words.count("following") == 2

    await eventually(followed, timeout=PATIENCE_S)
    await holds(own_wire, ledger, questions=QUESTIONS)


async def test_beside_an_embedded_index_nobody_answers_from_another(
    own_wire: Wire, server: NatsServer, chroma: ChromaProcess, tmp_path: Path
) -> None:
    """The log feeds one index: a replica that would begin another is refused, and answers nobody meanwhile."""
    embedded, _ = rigged_indexer(server.url, tmp_path / "embedded")
    beside = Replicas(server.url, chroma.url, tmp_path, 1)
    [replica] = beside.all
    async with embedded:
        await own_wire.event(C, "one")
        try:
            # The second time, it finds what it has begun at the first.
            for _ in range(2):
                replica.start()
                assert await replica.wait_exit(PATIENCE_S) == 1
                assert "consumer indexer feeds index" in replica.log_tail()
        finally:
            beside.kill()
    assert (_times(replica, "lease_taken"), _times(replica, "serving")) == (2, 0)


# -- a writer that is late --------------------------------------------------------------------------------------


async def _hold_up(wire: Wire, replicas: Replicas, event_id: str, publisher: Publisher) -> IndexerProcess:
    """Freeze the writer with the write of an event on its way; the other writes from then on."""
    await _covered(wire)
    writer = await replicas.writer(wire)
    orders = replicas.orders(writer)
    orders.give(hold_up_text="HELD", hold_up_s=2)
    await publisher.event(event_id, text="HELD")
    mark = orders.path.with_suffix(".held-up")

    def held_up() -> None:
        assert mark.exists()

    await eventually(held_up, timeout=PATIENCE_S, interval=0.01)
    writer.pause()
    await replicas.writer(wire, but=writer)
    return writer


async def _let_go(replicas: Replicas, late: IndexerProcess) -> None:
    """Let it go on: it finishes its request, sees that it was late, and leaves; the other reads the log again."""
    other = replicas.other(late)
    late.resume()
    assert await late.wait_exit(PATIENCE_S) == 1
    assert _times(late, "late_write"), late.log_tail()

    def read_again() -> None:
        reasons = [entry["reason"] for entry in other.logs() if entry.get("event") == "log_read_again"]
        assert "a writer was late" in reasons

    await eventually(read_again, timeout=PATIENCE_S)


def _times(indexer: IndexerProcess, word: str) -> int:
    return sum(entry.get("event") == word for entry in indexer.logs())


async def _covered(wire: Wire) -> None:
    """The index covers the log, whoever says so."""

    async def probe() -> None:
        stats = await _stats(wire)
        assert stats["indexed_seq"] == stats["stream_seq"]

    await eventually(probe, timeout=PATIENCE_S, interval=0.1)


async def _stats(wire: Wire) -> dict[str, Any]:
    async def probe() -> dict[str, Any]:
        return await asyncio.wait_for(wire.stats(), 10)

    return await eventually(probe, timeout=PATIENCE_S, attempt_timeout=15, exceptions=Exception)


async def _unavailable(wire: Wire) -> None:
    """Nobody can answer any more."""

    async def probe() -> None:
        refusal = await wire.refused(f"security.index.v1.{C}.search", {"text": "x"})
        assert refusal.code == 503

    await eventually(probe, timeout=PATIENCE_S, attempt_timeout=15)
