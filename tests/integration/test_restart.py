"""Whatever is killed, lost or restarted: what the log acknowledged is found in the end."""

import asyncio
import re
import shutil

from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import Wire

QUESTIONS = 200
"""More than are answered while it is asked whether all are taken, and no more than may wait."""


async def all_found(wire: Wire, names: list[str], *, collection: str = "incidents") -> None:
    """Once the index covers the log, exactly these are there, each once, and each by search."""
    await wire.covered((await wire.stats())["stream_seq"])
    assert sorted(await wire.listed(collection)) == sorted(names)
    assert (await wire.of(collection, "stats"))["count"] == len(names)
    assert set(await wire.found(collection, text="event", k=1000)) == set(names)


async def publish(wire: Wire, first: int, last: int) -> list[str]:
    """Publish the events from `first` to before `last`; their ids."""
    names = [f"e{number}" for number in range(first, last)]
    for name in names:
        await wire.event("incidents", f"event {name}", id=name)
    return names


async def test_a_killed_indexer_loses_nothing(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Killed in the middle of its work, twice, with more published meanwhile, it finds everything in the end."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 60)
    seq = (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["last_seq"]
    assert (await own_wire.stats())["indexed_seq"] < seq, "nothing in flight: the test proves nothing"
    indexer.kill()
    names += await publish(own_wire, 60, 100)
    indexer.start()
    await indexer.wait_ready()
    names += await publish(own_wire, 100, 160)
    indexer.kill()
    names += await publish(own_wire, 160, 180)
    indexer.start()
    await indexer.wait_ready()
    await all_found(own_wire, names)


async def test_sigterm_ends_in_time_and_loses_nothing(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """With work in flight it ends with 0 within its promise; the rest is indexed by the next life."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 150)
    seq = (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["last_seq"]
    assert (await own_wire.stats())["indexed_seq"] < seq, "nothing in flight: the test proves nothing"
    assert await indexer.terminate() == 0
    events = [entry["event"] for entry in indexer.logs()]
    assert "stopped" in events
    assert "stopped_hard" not in events
    indexer.start()
    await indexer.wait_ready()
    await all_found(own_wire, names)


async def test_sigterm_answers_the_questions_in_hand(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Questions that were taken are answered before the process leaves."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 20)
    await all_found(own_wire, names)
    before = await taken(own_wire)
    asked = [asyncio.create_task(own_wire.found("incidents", text=f"event {number}")) for number in range(QUESTIONS)]

    async def all_taken() -> None:
        assert await taken(own_wire) == before + QUESTIONS

    await eventually(all_taken, timeout=30, interval=0.001)
    assert not all(one.done() for one in asked), "no question in hand: the test proves nothing"
    code = await indexer.terminate()
    assert code == 0
    assert all(len(found) == 5 for found in await asyncio.gather(*asked))


async def taken(wire: Wire) -> int:
    """How many searches the indexer has taken so far, answered or not."""
    stats, _ = await wire.request("$SRV.STATS.indexer")
    [search] = [one for one in stats["endpoints"] if one["name"] == "search"]
    return int(search["num_requests"])


async def test_a_lost_index_is_rebuilt_unasked(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Without its directory, the indexer begins anew from the log: same events, same ids, same outcomes."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 30)
    names.append(f"seq-{await own_wire.event('incidents', 'an event without an id')}")
    await own_wire.event("another", "an event elsewhere", id="a")
    await own_wire.outcome("incidents", "e3", "benign", mitigation="none")
    await own_wire.publish("security.events.v1.incidents.test", b"not json")
    await own_wire.covered(await own_wire.event("incidents", "event revised", id="e4"))
    before = (await own_wire.of("incidents", "list", limit=1000))["events"]
    assert await indexer.terminate() == 0
    shutil.rmtree(indexer.chroma_path)
    indexer.start()
    await indexer.wait_ready()
    await all_found(own_wire, names)
    assert (await own_wire.of("incidents", "list", limit=1000))["events"] == before
    assert await own_wire.listed("another") == ["a"]
    assert len(await own_wire.dead_letters("incidents")) == 1


async def test_only_generations_and_current_live_in_the_directory(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """CURRENT names the one directory of the generation in use, before and after a restart."""
    indexer = new_indexer()
    for _ in range(2):
        indexer.start()
        await indexer.wait_ready()
        await own_wire.covered(await own_wire.event("incidents", "an event"))
        current = (indexer.chroma_path / "CURRENT").read_text(encoding="utf-8").strip()
        assert re.fullmatch(r"generation-\d{6}", current)
        assert sorted(path.name for path in indexer.chroma_path.iterdir()) == ["CURRENT", current]
        assert await indexer.terminate() == 0
        assert sorted(path.name for path in indexer.chroma_path.iterdir()) == ["CURRENT", current]


async def test_the_indexer_outlives_a_restart_of_the_server(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer
) -> None:
    """It reconnects by itself and goes on, in the same process, with what came before and what comes after."""
    async with new_indexer() as indexer:
        pid = indexer.pid
        names = await publish(own_wire, 0, 40)
        server.restart()
        await own_wire.covered(40)
        names += await publish(own_wire, 40, 60)
        await own_wire.covered(60)
        await all_found(own_wire, names)
        assert (indexer.pid, indexer.returncode) == (pid, None)


async def test_a_deleted_consumer_is_made_again(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Without its durable consumer the indexer makes it again and misses nothing."""
    async with new_indexer():
        names = await publish(own_wire, 0, 10)
        await own_wire.covered(10)
        await own_wire.api("CONSUMER.DELETE.SECURITY_EVENTS.indexer")
        names += await publish(own_wire, 10, 20)
        await own_wire.covered(20)
        await all_found(own_wire, names)


async def test_messages_that_are_gone_from_the_log_hold_up_nothing(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A gap, and a tail that was deleted before it was delivered, count as covered."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    await own_wire.covered(await own_wire.event("incidents", "event first", id="first"))
    indexer.kill()
    seqs = [await own_wire.event("incidents", f"event {number}", id=f"e{number}") for number in range(6)]
    for seq in (seqs[1], seqs[4], seqs[5]):
        assert (await own_wire.api("STREAM.MSG.DELETE.SECURITY_EVENTS", {"seq": seq}))["success"]
    indexer.start()
    await indexer.wait_ready()
    await all_found(own_wire, ["first", "e0", "e2", "e3"])
    assert (await own_wire.stats())["indexed_seq"] == seqs[5]


async def test_a_recreated_log_begins_a_new_index(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """An index of another log is noticed at start and begun anew; nothing of the old log is shown."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    await own_wire.covered(await own_wire.event("incidents", "event of the old log", id="old"))
    assert await indexer.terminate() == 0
    config = (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["config"]
    assert (await own_wire.api("STREAM.DELETE.SECURITY_EVENTS"))["success"]
    assert "error" not in await own_wire.api("STREAM.CREATE.SECURITY_EVENTS", config)
    await own_wire.event("incidents", "event of the new log", id="new")
    indexer.start()
    await indexer.wait_ready()
    await all_found(own_wire, ["new"])
