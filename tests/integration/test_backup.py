"""Backup and restore of the index, by the commands, beside a real indexer that goes on."""

import asyncio
import contextlib
import json
import sqlite3
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.stack import NewIndexer
from harness.wire import Wire

ENOUGH = 700
"""Events for Chroma to have written its graph to files, more than once."""


async def command(indexer: IndexerProcess, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command where this indexer's settings are."""
    env = {"NATS_URL": indexer.nats_url, "PRECEDENT_CHROMA_PATH": str(indexer.chroma_path)}
    return await asyncio.to_thread(run_indexer_command, [str(one) for one in arguments], env, 120)


async def done(indexer: IndexerProcess, *arguments: str | Path) -> dict[str, Any]:
    """What a command reports that ends well."""
    ended = await command(indexer, *arguments, "--json")
    assert ended.returncode == 0, ended.stderr
    report: dict[str, Any] = json.loads(ended.stdout)
    return report


@contextlib.asynccontextmanager
async def busy(publisher: Publisher, wire: Wire) -> AsyncIterator[None]:
    """Events come in for as long as the block runs, as fast as they are indexed."""
    ending = asyncio.Event()

    async def publish() -> None:
        while not ending.is_set():
            await publisher.events(20)
            await wire.covered(await last_seq(wire))

    task = asyncio.create_task(publish())
    try:
        yield
    finally:
        ending.set()
        await task


def starts(indexer: IndexerProcess) -> list[dict[str, Any]]:
    """What each start of the indexer said of the index that it serves."""
    return [entry for entry in indexer.logs() if entry["event"] == "serving"]


@pytest.mark.timeout(300)
async def test_a_backup_under_load_is_restored_and_catches_up(
    own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path
) -> None:
    """Copied twice while events come in, the second copy put back goes on from its watermark to the end."""
    ledger = Ledger()
    publisher = Publisher(own_wire, ledger)
    indexer = new_indexer()
    async with indexer:
        await publisher.events(ENOUGH)
        await own_wire.covered(await last_seq(own_wire))
        async with busy(publisher, own_wire):
            reports = [await done(indexer, "backup", tmp_path / f"backup-{number}") for number in range(2)]
        await publisher.events(50)
        await publisher.revise(await own_wire.listed("incidents", limit=5))
        await holds(own_wire, ledger, questions=50)
    watermarks = [report["indexed_seq"] for report in reports]
    assert watermarks == sorted(watermarks)
    assert ENOUGH <= watermarks[0] < watermarks[-1] < await last_seq(own_wire)

    restored = await done(indexer, "restore", tmp_path / "backup-1")
    assert (restored["indexed_seq"], restored["events"]) == (watermarks[-1], reports[-1]["events"])
    async with indexer:
        await holds(own_wire, ledger)
        assert starts(indexer)[-1]["indexed_seq"] == watermarks[-1]
        assert starts(indexer)[-1]["index"] == starts(indexer)[0]["index"]
        # Vectors of the copy that lag behind its rows, or the other way round, are found by nobody else.
        verified = await command(indexer, "verify", "--json")
        assert verified.returncode == 0, verified.stdout + verified.stderr
    assert [entry for entry in indexer.logs() if entry["event"] == "index_rebuilt"] == []


async def last_seq(wire: Wire) -> int:
    """Of the log."""
    found: int = (await wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["last_seq"]
    return found


async def test_a_restore_brings_nothing_back_that_was_deleted(
    own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path
) -> None:
    """Deleted after the backup, an event is gone from the restored index too, and so is the vector of its text."""
    ledger = Ledger()
    publisher = Publisher(own_wire, ledger)
    indexer = new_indexer()
    async with indexer:
        names = await publisher.events(30)
        await own_wire.covered(await last_seq(own_wire))
        await done(indexer, "backup", tmp_path / "backup")
        await publisher.delete(names[:10])
        await holds(own_wire, ledger)
    await done(indexer, "restore", tmp_path / "backup")
    generation = indexer.chroma_path / (indexer.chroma_path / "CURRENT").read_text().strip()
    assert vectors_in(generation) == 30
    async with indexer:
        await holds(own_wire, ledger)
        assert (await own_wire.of("incidents", "get", ids=names[:10]))["events"] == []
    assert vectors_in(generation) == 20


def vectors_in(generation: Path) -> int:
    """How many texts the vector file of an index that is not in use knows."""
    with contextlib.closing(sqlite3.connect(generation / "vectors.sqlite")) as db:
        count: int = db.execute("SELECT count(*) FROM vectors").fetchone()[0]
    return count


async def test_without_an_indexer_both_commands_work(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """A stopped indexer's index is copied, lost, and put back on an empty volume, where it need not read the log."""
    indexer = new_indexer()
    async with indexer:
        seq = await own_wire.event("incidents", "backed up", id="one")
        await own_wire.covered(seq)
    await done(indexer, "backup", tmp_path / "backup")
    indexer.chroma_path.rename(tmp_path / "lost")
    await done(indexer, "restore", tmp_path / "backup")
    assert sorted(one.name for one in indexer.chroma_path.iterdir()) == ["CURRENT", "generation-000001"]
    async with indexer:
        assert await own_wire.found("incidents", text="backed up") == ["one"]
    assert starts(indexer)[-1]["indexed_seq"] == seq


async def test_a_restore_waits_for_no_indexer(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """While one runs the command ends with 1 and the remedy, as a backup to a full place does; the index goes on."""
    indexer = new_indexer()
    async with indexer:
        await own_wire.covered(await own_wire.event("incidents", "first", id="one"))
        await done(indexer, "backup", tmp_path / "backup")
        for arguments, says in (
            (("restore", tmp_path / "backup"), "in use by another process"),
            (("backup", tmp_path / "backup"), "not empty"),
        ):
            refused = await command(indexer, *arguments)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert says in refused.stderr
            assert "Traceback" not in refused.stderr
        await own_wire.covered(await own_wire.event("incidents", "second", id="two"))
        assert await own_wire.listed("incidents") == ["one", "two"]


async def test_a_backup_of_another_log_is_noticed(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """The log was made anew since: the start after the restore says so, and fills the index from the log it has."""
    indexer = new_indexer()
    async with indexer:
        await own_wire.covered(await own_wire.event("incidents", "of the old log", id="old"))
        await done(indexer, "backup", tmp_path / "backup")
    assert (await own_wire.api("STREAM.DELETE.SECURITY_EVENTS"))["success"]
    await done(indexer, "restore", tmp_path / "backup")
    async with indexer:
        await own_wire.covered(await own_wire.event("incidents", "of the new log", id="new"))
        assert await own_wire.listed("incidents") == ["new"]
    reasons = [entry["reason"] for entry in indexer.logs() if entry["event"] == "index_rebuilt"]
    assert len(reasons) == 1
    assert "it belongs to the log created at" in reasons[0]
