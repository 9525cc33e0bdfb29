"""What is deleted is in no file any more: the bytes of the log, of the index and of every cache are looked through."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.indexer_process import run_indexer_command
from harness.waits import eventually
from security.traces import Traces

if TYPE_CHECKING:
    from harness.indexer_process import IndexerProcess
    from harness.nats_server import NatsServer
    from harness.stack import NewIndexer
    from harness.wire import Wire

C = "incidents"
REBUILD_SECONDS = 120.0
FILLER = 45
"""Messages of 200 KB: more than a block of the log takes, which the server then closes and compresses."""
VECTOR_BYTES = 4 * 384


@pytest.fixture
def traces() -> Traces:
    """What this test looks for."""
    return Traces()


async def publish(wire: Wire, traces: Traces, name: str, event_id: str, more: str = "") -> int:
    """Publish an event that leaves a trace by each of its fields, and `more` text behind the first; its sequence."""
    return await wire.event(
        C,
        f"{traces.text(f'{name}.text')} {more}",
        id=event_id,
        user=traces.text(f"{name}.user"),
        source=traces.text(f"{name}.source"),
        attributes={
            traces.text(f"{name}.key"): traces.text(f"{name}.value"),
            "list": [traces.text(f"{name}.one"), traces.text(f"{name}.other")],
        },
    )


async def decide(wire: Wire, traces: Traces, name: str, event_id: str) -> int:
    """Publish an outcome that leaves a trace by each of its fields; its sequence."""
    fields = {field: traces.text(f"{name}.{field}") for field in ("mitigation", "note", "by")}
    return await wire.outcome(C, event_id, "benign", **fields)


def folder_of(indexer: IndexerProcess) -> Path:
    """The generation in use."""
    return indexer.chroma_path / (indexer.chroma_path / "CURRENT").read_text(encoding="utf-8").strip()


def kept_vectors(indexer: IndexerProcess) -> set[bytes]:
    """The float32 bytes of every vector that is kept beside the store."""
    with contextlib.closing(sqlite3.connect(folder_of(indexer) / "vectors.sqlite")) as database:
        # In front of each are eight bytes that say whether it is whole.
        return {packed[8:] for (packed,) in database.execute("SELECT vector FROM vectors")}


def stored_vectors(indexer: IndexerProcess, event_id: str) -> set[bytes]:
    """The float32 bytes of the vectors that the store was given for an event."""
    query = "SELECT vector FROM embeddings_queue WHERE id = ? AND length(vector) = ?"
    with contextlib.closing(sqlite3.connect(folder_of(indexer) / "chroma.sqlite3")) as database:
        return {vector for (vector,) in database.execute(query, (event_id, VECTOR_BYTES))}


async def command(server: NatsServer, *words: str) -> None:
    """Run a command of the indexer beside the one that serves."""
    done = await asyncio.to_thread(run_indexer_command, words, {"NATS_URL": server.url}, REBUILD_SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_what_is_deleted_leaves_no_byte(
    server: NatsServer,
    own_wire: Wire,
    new_indexer: NewIndexer,
    traces: Traces,
    tmp_path: Path,
) -> None:
    """At the answer nothing is in the log or in a cache of vectors; behind a rebuild nothing is in any file.

    Every revision, also a refused one, every outcome, in closed blocks of the log and open ones; other events stay.
    """
    wire, log, index = own_wire, server.store_dir, tmp_path / "chroma"
    async with new_indexer() as indexer:
        await wire.covered(await publish(wire, traces, "gone.older", "a"))
        await publish(wire, traces, "gone.newer", "a", more=f"{'many words ' * 2_000}{traces.text('gone.newer.end')}")
        await wire.event(C, traces.text("gone.refused.text"), id="a", severity=99)
        for name in ("gone.decided", "gone.decided anew"):
            await decide(wire, traces, name, "a")
        await publish(wire, traces, "kept.early", "kept")
        for _ in range(FILLER):
            await wire.event(C, "filler", id="filler", unknown="x" * 200_000)
        await decide(wire, traces, "kept.decided", "kept")
        await publish(wire, traces, "gone.late", "b")
        await wire.covered(await publish(wire, traces, "kept.late", "kept-late"))

        gone, kept = traces.names("gone."), traces.names("kept.")
        assert [one for one in log.rglob("*.blk") if one.read_bytes().startswith(b"cmp")], "no block is compressed"
        assert traces.within(log) == gone | kept
        in_index = {
            name for name in gone | kept if not name.startswith(("gone.older", "gone.refused", "gone.decided."))
        }
        assert traces.within(index) >= in_index
        for event_id in ("a", "b"):
            stored = stored_vectors(indexer, event_id)
            assert stored
            for number, vector in enumerate(stored):
                traces.vector(f"gone.stored vector of {event_id}, {number}", vector)
        assert traces.within(index) >= traces.names("gone.stored vector")
        vectors = kept_vectors(indexer)

        assert (await wire.of(C, "delete", ids=["a", "b"]))["deleted"] == ["a", "b"]
        assert traces.within(log) == kept
        assert await wire.dead_letters(C) == []
        assert traces.within(index) > kept, "nothing is left for the rebuild to remove: the rest proves nothing"
        forgotten = vectors - kept_vectors(indexer)
        assert len(forgotten) == 2
        for number, vector in enumerate(forgotten):
            traces.vector(f"gone.kept vector {number}", vector)
        assert traces.within(index, "vectors.sqlite*") == set()

        await command(server, "rebuild")
        assert traces.leftovers(tmp_path, kept) == {}
        assert traces.within(tmp_path) == kept
        assert await wire.listed(C) == ["kept", "filler", "kept-late"]
        server.restart()
        # Both are back.
        await wire.covered(0)
    # What both write when they end.
    server.stop()
    assert traces.leftovers(tmp_path, kept) == {}
    assert traces.within(tmp_path) == kept


async def test_the_index_is_scrubbed_unasked(
    own_wire: Wire, new_indexer: NewIndexer, traces: Traces, tmp_path: Path
) -> None:
    """So many seconds after a deletion as the setting says, nothing of it is in a file any more."""
    async with new_indexer(PRECEDENT_SCRUB_AFTER="1"):
        await publish(own_wire, traces, "gone", "a")
        await decide(own_wire, traces, "gone.decided", "a")
        await own_wire.covered(await publish(own_wire, traces, "kept", "b"))
        kept = traces.names("kept")
        assert traces.within(tmp_path / "chroma") == kept | traces.names("gone")
        await own_wire.of(C, "delete", ids=["a"])

        def scrubbed() -> None:
            assert traces.within(tmp_path) == kept

        await eventually(scrubbed, timeout=REBUILD_SECONDS)
        assert await own_wire.listed(C) == ["b"]


async def test_an_index_that_is_put_aside_leaves_nothing(
    own_wire: Wire, new_indexer: NewIndexer, traces: Traces, tmp_path: Path
) -> None:
    """Where an index is begun anew after a kill, what the one before held of deleted events goes with it."""
    indexer = new_indexer()
    indexer.start()
    await indexer.wait_ready()
    await publish(own_wire, traces, "gone", "a")
    await own_wire.covered(await publish(own_wire, traces, "kept", "b"))
    vectors = kept_vectors(indexer)
    await own_wire.of(C, "delete", ids=["a"])
    for vector in vectors - kept_vectors(indexer):
        traces.vector("gone.vector", vector)
    indexer.kill()
    assert traces.within(indexer.chroma_path) > traces.names("kept")
    (indexer.chroma_path / "CURRENT").write_text("generation-000999\n", encoding="utf-8")
    indexer.start()
    await indexer.wait_ready()
    await own_wire.covered((await own_wire.stats())["stream_seq"])

    def nothing_is_left() -> None:
        assert traces.within(tmp_path) == traces.names("kept")
        assert not list(indexer.chroma_path.rglob("inherited*"))

    await eventually(nothing_is_left, timeout=60)
    assert await own_wire.listed(C) == ["b"]
    assert await indexer.terminate() == 0


async def test_a_dropped_dead_letter_leaves_no_byte(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer, traces: Traces, tmp_path: Path
) -> None:
    """What could not be read is in both streams; `drop` erases it in the files of both, and leaves the others."""
    async with new_indexer():
        bad = [await own_wire.event(C, traces.text(name), severity=99) for name in ("gone", "kept")]
        unreadable = await own_wire.publish(f"security.events.v1.{C}.auth", traces.text("gone unreadable").encode())
        await own_wire.covered(unreadable)
        assert len(await own_wire.dead_letters(C)) == 3
        for stream in ("SECURITY_EVENTS", "SECURITY_DEAD_LETTERS"):
            assert traces.within(server.store_dir / "jetstream" / "$G" / "streams" / stream) == traces.names("")
        await command(server, "dead-letters", "drop", str(bad[0]), str(unreadable))
        assert traces.within(tmp_path) == {"kept"}
        assert len(await own_wire.dead_letters(C)) == 1


async def test_what_clear_does_and_does_not_scrub(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer, traces: Traces, tmp_path: Path
) -> None:
    """As the page on security says: behind a rebuild the index has nothing, but the log's files are not overwritten."""
    async with new_indexer() as indexer:
        await own_wire.covered(await publish(own_wire, traces, "gone", "a"))
        vectors = kept_vectors(indexer)
        assert (await own_wire.of(C, "clear", confirm=C))["deleted"] == 1
        assert kept_vectors(indexer) == set()
        for vector in vectors:
            traces.vector("gone.vector", vector)
        assert traces.within(tmp_path / "chroma", "vectors.sqlite*") == set()
        await command(server, "rebuild")
        assert traces.within(tmp_path / "chroma") == set()
        assert traces.within(server.store_dir) == traces.names("gone") - {"gone.vector"}
