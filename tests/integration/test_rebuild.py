"""The index is made anew while it answers: by order, for another model, after a deletion, and when it is broken."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.indexer_process import IndexerProcess
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import AnsweredWithError, Wire

C = "incidents"
REBUILD_SECONDS = 120.0

OTHER_MODEL = """
import json, os, sys
from pathlib import Path
from precedent_indexer.embedding.model_files import (DEFAULT_MODEL_DIR, ModelFiles)
target = Path(sys.argv[1])
target.mkdir()
ours = ModelFiles.read(DEFAULT_MODEL_DIR)
for path in (ours.graph, ours.tokenizer):
    os.link(path, target / path.name)
other = ModelFiles(target, "0" * 64, ours.sha256)
(target / "manifest.json").write_text(other.manifest())
print(other.fingerprint)
"""
"""A model that computes the same and is another one, as a change of its weights would make it."""


async def publish(wire: Wire, first: int, last: int, texts: int = 1000) -> list[str]:
    """Publish the events from `first` to before `last`, with so many different texts; their ids."""
    names = [f"e{number}" for number in range(first, last)]
    acks = [
        wire.event(C, f"event number {number % texts} of a kind", id=name)
        for number, name in zip(range(first, last), names, strict=True)
    ]
    for start in range(0, len(acks), 100):
        await asyncio.gather(*acks[start : start + 100])
    return names


async def end_of_log(wire: Wire) -> int:
    """The last sequence."""
    last: int = (await wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["last_seq"]
    return last


async def everything_is_there(wire: Wire, names: list[str]) -> None:
    """Once the index covers the log, exactly these are there, and each of a few is found by its own vector."""
    await wire.covered(await end_of_log(wire))
    found: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = await wire.of(C, "list", limit=1000, **cursor)
        found |= {entry["event"]["id"] for entry in page["events"]}
        if not page.get("cursor"):
            break
        cursor = {"cursor": page["cursor"]}
    assert found == set(names)
    assert (await wire.of(C, "stats"))["count"] == len(names)
    for name in names[:: max(1, len(names) // 10)]:
        hits = (await wire.search(C, id=name, k=1))["hits"]
        assert hits, f"nothing is near {name}"


async def rebuilt(wire: Wire, after: str | None = None) -> dict[str, Any]:
    """Wait until a rebuild other than `after` has ended; how."""

    async def probe() -> dict[str, Any]:
        stats = await wire.stats()
        last = stats.get("last_job")
        assert stats.get("job") is None, stats["job"]
        assert last is not None, stats
        assert last["id"] != after, last
        assert last["kind"] == "rebuild", last
        return dict(last)

    return await eventually(probe, timeout=REBUILD_SECONDS, exceptions=(AssertionError, AnsweredWithError))


def current(indexer: IndexerProcess) -> str:
    """Name of the generation in use."""
    return (indexer.chroma_path / "CURRENT").read_text(encoding="utf-8").strip()


async def only_current_is_there(indexer: IndexerProcess) -> None:
    """Nothing else lives in the directory of the index, once the last question to the old generation has ended."""

    def probe() -> None:
        assert sorted(path.name for path in indexer.chroma_path.iterdir()) == ["CURRENT", current(indexer)]

    await eventually(probe, timeout=10)


def events_of(indexer: IndexerProcess, event: str) -> list[dict[str, Any]]:
    """Log entries of one kind."""
    return [entry for entry in indexer.logs() if entry["event"] == event]


@contextlib.asynccontextmanager
async def always_asking(wire: Wire, seqs: dict[str, int]) -> AsyncIterator[list[int]]:
    """Ask without a break: each answer holds exactly what the log had up to its `indexed_seq`, which never falls."""
    covered: list[int] = [0]

    async def ask() -> None:
        while True:
            reply = await wire.of(C, "list", order="oldest", limit=1000)
            wanted = {name for name, seq in seqs.items() if seq <= reply["indexed_seq"]}
            held = {entry["event"]["id"]: entry["seq"] for entry in reply["events"]}
            assert wanted <= held.keys(), f"at {reply['indexed_seq']} are missing: {sorted(wanted - held.keys())}"
            assert len(held) == len(reply["events"]), "an event is there twice"
            assert reply["indexed_seq"] >= covered[-1], "the index fell back"
            covered.append(reply["indexed_seq"])
            near = await wire.search(C, text="event number 1 of a kind", k=3)
            assert len(near["hits"]) == 3
            assert near["indexed_seq"] >= covered[-1]

    asking = asyncio.create_task(ask())
    try:
        yield covered
    finally:
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking


async def test_a_rebuild_under_questions_and_events_is_never_seen(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Answers are complete up to their `indexed_seq` all the while; the rebuild computes no vector again."""
    async with new_indexer() as indexer:
        await publish(own_wire, 0, 400)
        await own_wire.covered(await end_of_log(own_wire))
        before = current(indexer)
        entries = (await own_wire.of(C, "list", order="oldest", limit=1000))["events"]
        seqs: dict[str, int] = {entry["event"]["id"]: entry["seq"] for entry in entries}
        async with always_asking(own_wire, seqs) as covered:
            reply = await own_wire.ask("security.index.v1.rebuild")
            assert (reply["job"]["kind"], reply["joined"]) == ("rebuild", False)
            for number in range(400, 500):
                seqs[f"e{number}"] = await own_wire.event(C, f"event number {number} of a kind", id=f"e{number}")
            ended = await rebuilt(own_wire)
            after_switch = len(covered)
            last = await own_wire.event(C, "event after the switch", id="e500")
            seqs["e500"] = last
            await own_wire.covered(last)
            await eventually(lambda: _more(covered, after_switch + 2), timeout=30)
        assert ended["outcome"] == "done", ended
        assert ended["report"]["vectors_reused"] >= 400
        assert ended["report"]["overlap_at_10"] > 0.9
        assert current(indexer) != before
        await everything_is_there(own_wire, [f"e{number}" for number in range(501)])
        await only_current_is_there(indexer)
        await own_wire.all_settled()


def _more(covered: list[int], count: int) -> None:
    assert len(covered) >= count, len(covered)


async def test_outcomes_deletions_and_dead_letters_survive_a_rebuild(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """The new generation says the same as the old one, a deletion meanwhile is answered rightly, nothing comes back."""
    async with new_indexer() as indexer:
        await publish(own_wire, 0, 60)
        await own_wire.outcome(C, "e3", "benign", mitigation="none")
        await own_wire.outcome(C, "to-come", "true_positive")
        await own_wire.event(C, "revised", id="e4")
        await own_wire.publish("security.events.v1.incidents.test", b"not json")
        await own_wire.event("elsewhere", "the only one", id="x")
        await own_wire.covered(await end_of_log(own_wire))
        assert (await own_wire.of(C, "delete", ids=["e5", "e6"]))["deleted"] == ["e5", "e6"]
        assert (await own_wire.of("elsewhere", "clear", confirm="elsewhere"))["deleted"] == 1
        before = (await own_wire.of(C, "list", limit=1000))["events"]
        await own_wire.ask("security.index.v1.rebuild")
        assert (await own_wire.of(C, "delete", ids=["e7", "nobody"]))["deleted"] == ["e7"]
        ended = await rebuilt(own_wire)
        assert ended["outcome"] == "done", ended
        after = (await own_wire.of(C, "list", limit=1000))["events"]
        assert after == [entry for entry in before if entry["event"]["id"] != "e7"]
        assert (await own_wire.of("elsewhere", "stats"))["count"] == 0
        await own_wire.covered(await own_wire.event(C, "late", id="to-come"))
        assert (await own_wire.entry(C, "to-come"))["outcome"]["verdict"] == "true_positive"
        assert len(await own_wire.dead_letters(C)) == 1
        uuid = events_of(indexer, "serving")[0]["index"]
        config = (await own_wire.api("CONSUMER.INFO.SECURITY_EVENTS.indexer"))["config"]
        assert config["metadata"]["precedent_index"] == uuid


async def test_a_rebuild_that_is_killed_goes_on_where_it_was(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Killed in the middle, it is resumed unasked by the next start, from where it was; nothing is missing."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 3000, texts=40)
    await own_wire.covered(await end_of_log(own_wire))
    before = current(indexer)
    await own_wire.ask("security.index.v1.rebuild")

    async def half_way() -> None:
        job = (await own_wire.stats()).get("job")
        assert job is not None
        assert job["done_seq"] > 800

    await eventually(half_way, timeout=REBUILD_SECONDS, interval=0.01)
    indexer.kill()
    assert current(indexer) == before
    assert len(list(indexer.chroma_path.glob("generation-*"))) == 2
    names += await publish(own_wire, 3000, 3050)
    indexer.start()
    await indexer.wait_ready()
    ended = await rebuilt(own_wire)
    assert ended["outcome"] == "done", ended
    [resumed] = events_of(indexer, "rebuild_resumed")
    assert 0 < resumed["watermark"] < 3050
    assert current(indexer) != before
    await everything_is_there(own_wire, names)
    await only_current_is_there(indexer)
    assert await indexer.terminate() == 0


@pytest.fixture
def other_model(tmp_path: Path, environment_python: Callable[[str], Path]) -> tuple[Path, str]:
    """Directory and fingerprint of another model."""
    target = tmp_path / "other-model"
    python = environment_python("services/indexer")
    done = subprocess.run([python, "-c", OTHER_MODEL, target], check=True, capture_output=True, text=True)
    return target, done.stdout.strip()


async def test_another_model_takes_over_without_downtime(
    own_wire: Wire, new_indexer: NewIndexer, other_model: tuple[Path, str]
) -> None:
    """The old model answers, text too, and takes in what is published, until the switch; then it is the new one."""
    directory, fingerprint = other_model
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 600)
    await own_wire.covered(await end_of_log(own_wire))
    old = (await own_wire.stats())["model"]["fingerprint"]
    assert await indexer.terminate() == 0
    again = new_indexer(PRECEDENT_MODEL_PATH=str(directory))
    again.start()
    await again.wait_ready()
    reply = await own_wire.search(C, text="event number 17 of a kind", k=1)
    assert reply["model"]["fingerprint"] == old, "the test proves nothing: the switch came before the question"
    assert reply["hits"][0]["event"]["id"] == "e17"
    names += await publish(own_wire, 600, 620)
    ended = await rebuilt(own_wire)
    assert ended["outcome"] == "done", ended
    assert ended["report"]["vectors_reused"] == 0
    assert ended["report"]["overlap_at_10"] > 0.9
    assert fingerprint in ended["report"]["reason"]
    reply = await own_wire.search(C, text="event number 17 of a kind", k=1)
    assert (reply["model"]["fingerprint"], reply["hits"][0]["event"]["id"]) == (fingerprint, "e17")
    await everything_is_there(own_wire, names)
    assert await again.terminate() == 0


async def test_without_its_model_an_old_index_still_answers(
    own_wire: Wire, new_indexer: NewIndexer, other_model: tuple[Path, str]
) -> None:
    """By id, get and list go on; text is `unavailable` and says how far the rebuild is; then all is well."""
    directory, fingerprint = other_model
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 600)
    await own_wire.covered(await end_of_log(own_wire))
    assert await indexer.terminate() == 0
    shutil.rmtree(indexer.chroma_path / current(indexer) / "model")
    names += await publish(own_wire, 600, 610)
    again = new_indexer(PRECEDENT_MODEL_PATH=str(directory))
    again.start()
    await again.wait_ready()
    refusal = await own_wire.refused(f"security.index.v1.{C}.search", {"text": "event"})
    assert (refusal.code, refusal.reason) == (503, "unavailable")
    assert "%" in refusal.message
    assert (await own_wire.search(C, id="e17", k=1))["indexed_seq"] == 600
    assert len(await own_wire.listed(C)) == 600
    ended = await rebuilt(own_wire)
    assert ended["outcome"] == "done", ended
    assert (await own_wire.search(C, text="event number 17 of a kind", k=1))["model"]["fingerprint"] == fingerprint
    await everything_is_there(own_wire, names)
    names += await publish(own_wire, 610, 620)
    await everything_is_there(own_wire, names)
    await own_wire.all_settled()
    assert await again.terminate() == 0


async def test_a_broken_segment_is_found_before_it_is_opened(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Truncated files are found by the probe; the index is begun anew, and computes no vector a second time."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 1300, texts=60)
    await own_wire.covered(await end_of_log(own_wire))
    assert await indexer.terminate() == 0
    broken = current(indexer)
    segments = list((indexer.chroma_path / broken).glob("*/data_level0.bin"))
    assert segments, "nothing to truncate: the test proves nothing"
    for segment in segments:
        segment.write_bytes(segment.read_bytes()[: segment.stat().st_size // 2])
    indexer.start()
    await indexer.wait_ready()
    await everything_is_there(own_wire, names)
    [rebuilt_entry] = events_of(indexer, "index_rebuilt")
    assert "probe" in rebuilt_entry["reason"]
    assert current(indexer) != broken
    await only_current_is_there(indexer)
    assert await indexer.terminate() == 0


async def test_files_that_break_in_use_are_noticed(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """The same process puts the index aside, begins it anew under the same name, and everything is found again."""
    async with new_indexer() as indexer:
        names = await publish(own_wire, 0, 50)
        await own_wire.covered(await end_of_log(own_wire))
        pid, broken = indexer.pid, current(indexer)
        for database in (indexer.chroma_path / broken).glob("chroma.sqlite3*"):
            overwrite(database)
        names += await publish(own_wire, 50, 60)
        await everything_is_there(own_wire, names)
        assert current(indexer) != broken
        assert (indexer.pid, indexer.returncode) == (pid, None)
        uuid = events_of(indexer, "serving")[0]["index"]
        config = (await own_wire.api("CONSUMER.INFO.SECURITY_EVENTS.indexer"))["config"]
        assert config["metadata"]["precedent_index"] == uuid
        await only_current_is_there(indexer)


def overwrite(path: Path) -> None:
    """Spoil a file that is open, in its place."""
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)


async def test_a_damaged_current_is_named(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """It is begun anew and the log says why, in other words than for a directory that is empty."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 30)
    await own_wire.covered(await end_of_log(own_wire))
    assert await indexer.terminate() == 0
    (indexer.chroma_path / "CURRENT").write_text("generation-000999\n", encoding="utf-8")
    indexer.start()
    await indexer.wait_ready()
    await everything_is_there(own_wire, names)
    assert "CURRENT is damaged" in events_of(indexer, "index_rebuilt")[0]["reason"]
    assert await indexer.terminate() == 0


async def test_an_older_copy_catches_up(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """A directory put back from before goes on from its own watermark; what was deleted since does not come back."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    names = await publish(own_wire, 0, 40)
    await own_wire.covered(await end_of_log(own_wire))
    assert await indexer.terminate() == 0
    shutil.copytree(indexer.chroma_path, tmp_path / "copy")
    indexer.start()
    await indexer.wait_ready()
    names += await publish(own_wire, 40, 80)
    await own_wire.covered(await end_of_log(own_wire))
    await own_wire.of(C, "delete", ids=["e3", "e50"])
    assert await indexer.terminate() == 0
    shutil.rmtree(indexer.chroma_path)
    (tmp_path / "copy").rename(indexer.chroma_path)
    indexer.start()
    await indexer.wait_ready()
    await everything_is_there(own_wire, [name for name in names if name not in {"e3", "e50"}])
    assert events_of(indexer, "index_rebuilt") == []
    assert await indexer.terminate() == 0


async def test_what_the_log_gives_up_leaves_the_index(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Events and outcomes below the first message of the log go, while it runs and at a start; later ones stay."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    await publish(own_wire, 0, 10)
    decided = await own_wire.outcome(C, "e9", "benign")
    kept = await own_wire.event(C, "revised late", id="e1")
    await own_wire.event(C, "revised late too", id="e9")
    await own_wire.covered(await end_of_log(own_wire))
    assert (await own_wire.entry(C, "e9"))["outcome"]["verdict"] == "benign"
    assert (await own_wire.api("STREAM.PURGE.SECURITY_EVENTS", {"seq": decided + 1}))["success"]

    async def only_late_ones() -> None:
        assert await own_wire.listed(C) == ["e1", "e9"]
        assert (await own_wire.entry(C, "e9")).get("outcome") is None

    await eventually(only_late_ones, timeout=30)
    assert (await own_wire.of(C, "stats"))["count"] == 2
    assert await indexer.terminate() == 0
    assert (await own_wire.api("STREAM.PURGE.SECURITY_EVENTS", {"seq": kept + 1}))["success"]
    indexer.start()
    await indexer.wait_ready()

    async def only_the_last() -> None:
        assert await own_wire.listed(C) == ["e9"]

    await eventually(only_the_last, timeout=30)
    assert await indexer.terminate() == 0


async def test_deleted_text_is_scrubbed_from_the_files(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """After PRECEDENT_SCRUB_AFTER seconds the index has rebuilt itself: no file of it holds what was deleted."""
    secret = "the quick brown wombat forgot its passphrase"
    async with new_indexer(PRECEDENT_SCRUB_AFTER="1") as indexer:
        names = await publish(own_wire, 0, 20)
        await own_wire.covered(await own_wire.event(C, secret, id="secret"))
        before = current(indexer)
        assert files_with(indexer.chroma_path, secret), "nothing to scrub: the test proves nothing"
        await own_wire.of(C, "delete", ids=["secret"])
        ended = await rebuilt(own_wire)
        assert ended["outcome"] == "done", ended
        assert "deleted" in ended["report"]["reason"]
        assert current(indexer) != before
        await only_current_is_there(indexer)
        assert files_with(indexer.chroma_path, secret) == []
        await everything_is_there(own_wire, names)
        await own_wire.covered(await own_wire.event(C, "one more", id="more"))
        assert (await own_wire.stats())["last_job"]["id"] == ended["id"], "it is scrubbed once, not again and again"


def files_with(directory: Path, text: str) -> list[str]:
    """Files that hold these bytes."""
    files = (path for path in directory.rglob("*") if path.is_file() and path.parent.name != "model")
    return [str(path.relative_to(directory)) for path in files if text.encode() in path.read_bytes()]


async def test_a_second_order_joins_the_first(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Asked twice, it is done once; both callers follow the same job."""
    async with new_indexer():
        await publish(own_wire, 0, 200)
        await own_wire.covered(await end_of_log(own_wire))
        replies = [await reply for reply in [own_wire.ask("security.index.v1.rebuild") for _ in range(2)]]
        assert replies[0]["job"]["id"] == replies[1]["job"]["id"]
        assert (replies[0]["joined"], replies[1]["joined"]) == (False, True)
        ended = await rebuilt(own_wire)
        assert (ended["id"], ended["outcome"]) == (replies[0]["job"]["id"], "done")
