"""Deleting and clearing: gone from the index and from the log, for good."""

import json
import shutil

import pytest

from harness.indexer_process import IndexerProcess
from harness.stack import NewIndexer
from harness.wire import Wire


async def test_what_is_deleted_is_gone_from_index_and_log(wire: Wire, collection: str) -> None:
    """Every revision and every outcome of the ids is erased in the log when the answer comes; the rest stays."""
    gone = [
        await wire.event(collection, "secret one", id="a"),
        await wire.outcome(collection, "a", "unknown"),
        await wire.event(collection, "secret two", id="a"),
        await wire.outcome(collection, "a", "benign"),
    ]
    kept = [await wire.event(collection, "secret three", id="b"), await wire.outcome(collection, "b", "benign")]
    await wire.covered(kept[-1])
    reply = await wire.of(collection, "delete", ids=["a", "nobody", "a"])
    assert reply == {"deleted": ["a"], "missing": ["nobody"]}
    assert [await wire.stored(seq) for seq in gone] == [None] * 4
    assert all([await wire.stored(seq) for seq in kept])
    assert await wire.found(collection, text="secret two") == ["b"]
    assert await wire.listed(collection) == ["b"]
    assert (await wire.of(collection, "get", ids=["a", "b"]))["missing"] == ["a"]
    assert (await wire.of(collection, "stats"))["count"] == 1


async def test_a_deletion_is_first_in_the_log(wire: Wire, collection: str) -> None:
    """The log holds what was deleted by name, so that a rebuild knows it; nobody's text is in it."""
    await wire.covered(await wire.event(collection, "secret", id="a"))
    await wire.of(collection, "delete", ids=["a"])
    deletion = await wire.stored(1, subject=f"security.deletions.v1.{collection}")
    assert deletion is not None
    assert json.loads(deletion.data) == {"ids": ["a"]}


async def test_a_deleted_id_begins_anew(wire: Wire, collection: str) -> None:
    """A later event with a deleted id is an event like any other, without the old outcome."""
    await wire.event(collection, "first", id="a")
    await wire.covered(await wire.outcome(collection, "a", "benign"))
    await wire.of(collection, "delete", ids=["a"])
    await wire.covered(await wire.event(collection, "second", id="a"))
    entry = await wire.entry(collection, "a")
    assert (entry["event"]["text"], entry["outcome"]) == ("second", None)
    assert (await wire.of(collection, "delete", ids=["a"]))["deleted"] == ["a"]
    assert await wire.listed(collection) == []


async def test_an_outcome_without_its_event_is_erased_too(wire: Wire, collection: str) -> None:
    """Deleting an id of which only an outcome is known erases that, and the event that comes has none."""
    await wire.event(collection, "another", id="other")
    seq = await wire.outcome(collection, "a", "benign", note="personal data")
    await wire.covered(seq)
    assert await wire.of(collection, "delete", ids=["a"]) == {"deleted": [], "missing": ["a"]}
    assert await wire.stored(seq) is None
    await wire.covered(await wire.event(collection, "late", id="a"))
    assert (await wire.entry(collection, "a"))["outcome"] is None


async def test_a_deletion_right_behind_its_event_is_applied_in_order(wire: Wire, collection: str) -> None:
    """Asked for before the index has reached the event, it removes it all the same."""
    await wire.covered(await wire.event(collection, "an older event", id="older"))
    seqs = [await wire.event(collection, f"event {number}", id=f"e{number}") for number in range(20)]
    reply = await wire.of(collection, "delete", ids=[f"e{number}" for number in range(20)])
    assert reply["missing"] == []
    assert await wire.listed(collection) == ["older"]
    assert [await wire.stored(seq) for seq in seqs] == [None] * 20


async def test_clearing_removes_the_whole_collection(wire: Wire, collection: str) -> None:
    """With the name once more, everything is purged from the log too; what comes later is kept."""
    seqs = [await wire.event(collection, f"event {number}", id=f"e{number}") for number in range(5)]
    seqs += [await wire.outcome(collection, "e0", "benign"), await wire.event(collection, "revised", id="e1")]
    await wire.covered(seqs[-1])
    assert await wire.of(collection, "clear", confirm=collection) == {"deleted": 5}
    assert await wire.listed(collection) == []
    assert await wire.found(collection, text="event") == []
    assert [await wire.stored(seq) for seq in seqs] == [None] * 7
    await wire.covered(await wire.event(collection, "event new", id="e0"))
    assert (await wire.entry(collection, "e0"))["outcome"] is None
    assert await wire.listed(collection) == ["e0"]


async def test_clearing_without_the_name_removes_nothing(wire: Wire, collection: str) -> None:
    """The confirmation is the collection's own name."""
    await wire.covered(await wire.event(collection, "an event", id="a"))
    refusal = await wire.refused(f"security.index.v1.{collection}.clear", {"confirm": collection + "-2"})
    assert (refusal.code, refusal.fields) == (400, ["confirm"])
    assert await wire.listed(collection) == ["a"]


@pytest.mark.parametrize("rebuilt", [False, True], ids=["restarted", "rebuilt"])
async def test_what_was_deleted_never_comes_back(own_wire: Wire, new_indexer: NewIndexer, rebuilt: bool) -> None:
    """Neither a restart nor a rebuild of a lost index brings back what was deleted or cleared."""
    wire, indexer = own_wire, new_indexer()

    async def start() -> IndexerProcess:
        indexer.start()
        await indexer.wait_ready()
        return indexer

    await start()
    for name in ("a", "b", "c"):
        await wire.event("incidents", f"event {name}", id=name)
        await wire.event("rules", f"rule {name}", id=name)
    await wire.outcome("incidents", "a", "benign")
    await wire.covered(await wire.outcome("incidents", "b", "benign"))
    await wire.of("incidents", "delete", ids=["a"])
    await wire.of("rules", "clear", confirm="rules")
    await wire.event("incidents", "event d", id="d")
    await wire.covered(await wire.event("rules", "rule d", id="d"))

    indexer.kill()
    if rebuilt:
        shutil.rmtree(indexer.chroma_path)
    await start()
    await wire.covered((await wire.stats())["stream_seq"])
    assert await wire.listed("incidents") == ["b", "c", "d"]
    assert await wire.listed("rules") == ["d"]
    assert (await wire.entry("incidents", "b"))["outcome"]["verdict"] == "benign"
    await wire.covered(await wire.event("incidents", "event a", id="a"))
    assert (await wire.entry("incidents", "a"))["outcome"] is None


async def test_a_full_log_refuses_the_deletion_and_says_so(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """503: nothing was removed, and the event is still there."""
    async with new_indexer():
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
        config = (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["config"]
        assert "error" not in await own_wire.api("STREAM.UPDATE.SECURITY_EVENTS", {**config, "max_bytes": 1})
        refusal = await own_wire.refused("security.index.v1.incidents.delete", {"ids": ["a"]})
        assert (refusal.code, refusal.reason) == (503, "unavailable")
        assert await own_wire.listed("incidents") == ["a"]
