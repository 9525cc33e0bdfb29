"""Both volumes are lost, the log's and the index's, and put back from their backups."""

import asyncio
import copy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from harness.stream_backup import StreamBackupFailed, back_up_stream, restore_stream
from harness.wire import DEAD_LETTERS, LOG, Wire

STREAMS: Final = (LOG, DEAD_LETTERS)


class Site:
    """A server and an indexer, each with a volume that can be lost, and a place for backups."""

    def __init__(self, folder: Path) -> None:
        self.server = NatsServer(folder / "jetstream")
        self.volumes = (folder / "jetstream", folder / "chroma")
        self.backups = folder / "backups"
        self.backups.mkdir()
        self._folder = folder

    def indexer(self) -> IndexerProcess:
        """The indexer, not started."""
        return IndexerProcess(self.server.url, self.volumes[1], log_path=self._folder / "indexer.log")

    async def command(self, *arguments: str | Path) -> None:
        """Run a command of the indexer that must end well."""
        env = {"NATS_URL": self.server.url, "PRECEDENT_CHROMA_PATH": str(self.volumes[1])}
        done = await asyncio.to_thread(run_indexer_command, [str(one) for one in arguments], env, 120)
        assert done.returncode == 0, done.stdout + done.stderr

    async def back_up_log(self) -> None:
        """Both streams, with their consumers."""
        async with Wire.connected(self.server.url) as wire:
            for stream in STREAMS:
                await back_up_stream(wire.client, stream, self.backups / stream)

    async def restore_log(self) -> None:
        """Both streams, onto a server that has none."""
        async with Wire.connected(self.server.url) as wire:
            for stream in STREAMS:
                await restore_stream(wire.client, self.backups / stream)

    def lose_everything(self) -> None:
        """The server is killed, and nothing is left of either volume."""
        self.server.kill()
        for volume in self.volumes:
            shutil.rmtree(volume)
            volume.mkdir()
        self.server.start()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose server runs."""
    made = Site(tmp_path)
    with made.server:
        yield made


async def last_seq(wire: Wire) -> int:
    """Of the log."""
    found: int = (await wire.api(f"STREAM.INFO.{LOG}"))["state"]["last_seq"]
    return found


async def a_day(publisher: Publisher, events: int) -> None:
    """Events, revisions, decisions, deletions and something that cannot be indexed."""
    names = await publisher.events(events)
    await publisher.revise(names[:10])
    await publisher.decide(names[3], "true_positive")
    await publisher.delete(names[5:8])
    await publisher.poison(b"no JSON", "malformed")


def starts(indexer: IndexerProcess) -> list[dict[str, Any]]:
    """What each start said of the index that it serves."""
    return [entry for entry in indexer.logs() if entry["event"] == "serving"]


def rebuilt(indexer: IndexerProcess) -> list[str]:
    """Why an index was begun anew, each time."""
    return [entry["reason"] for entry in indexer.logs() if entry["event"] == "index_rebuilt"]


@pytest.mark.timeout(300)
async def test_both_volumes_lost(site: Site) -> None:
    """Nothing that was acknowledged before the log's backup is missing, and what comes afterwards is indexed.

    The index goes on where its backup ended: although the log was made anew, it finds there what it has read.
    """
    ledger = Ledger()
    indexer = site.indexer()
    async with indexer, Wire.connected(site.server.url) as wire:
        publisher = Publisher(wire, ledger)
        await a_day(publisher, 400)
        await wire.covered(await last_seq(wire))
        await site.command("backup", site.backups / "index")
        await a_day(publisher, 40)
        await wire.covered(await last_seq(wire))
        await site.back_up_log()
        safe = copy.deepcopy(ledger)
        await publisher.events(20)
    reached = starts(indexer)[-1]["index"]
    site.lose_everything()

    # The order that the documents give: the log, the index, and only then the indexer.
    await site.restore_log()
    await site.command("restore", site.backups / "index")
    async with indexer, Wire.connected(site.server.url) as wire:
        await a_day(Publisher(wire, safe, seed=1), 40)
        await holds(wire, safe)
        await wire.all_settled()
        await site.command("verify")
    assert starts(indexer)[-1]["index"] == reached
    assert starts(indexer)[-1]["indexed_seq"] >= 400
    assert rebuilt(indexer) == []


async def test_an_index_backed_up_after_its_log(site: Site) -> None:
    """The index knows more than the restored log, which publishers make longer again before the indexer starts.

    What it holds in these places is another history: it says so, and is filled from the log as it is.
    """
    ledger = Ledger()
    indexer = site.indexer()
    async with indexer, Wire.connected(site.server.url) as wire:
        publisher = Publisher(wire, ledger)
        await publisher.events(30)
        await site.back_up_log()
        safe = copy.deepcopy(ledger)
        await publisher.events(20)
        await wire.covered(await last_seq(wire))
        await site.command("backup", site.backups / "index")
    site.lose_everything()
    await site.restore_log()
    await site.command("restore", site.backups / "index")
    async with Wire.connected(site.server.url) as wire:
        await Publisher(wire, safe, seed=1).events(40)
        async with indexer:
            await holds(wire, safe)
    assert len(rebuilt(indexer)) == 1


async def test_an_older_disk_of_the_log_under_a_running_indexer(site: Site) -> None:
    """A copy of the server's files comes back, with the creation of the log, and grows past what was read of it.

    The indexer ends before it notes that it has read what it has not; the next start fills the index from the log as
    it is.
    """
    ledger = Ledger()
    indexer = site.indexer()
    indexer.start()
    await indexer.wait_ready()
    async with Wire.connected(site.server.url) as wire:
        publisher = Publisher(wire, ledger)
        await publisher.events(30)
        await wire.covered(await last_seq(wire))
        site.server.stop()
        shutil.copytree(site.volumes[0], site.backups / "disk")
        site.server.start()
        safe = copy.deepcopy(ledger)
        await publisher.events(20)
        await wire.covered(await last_seq(wire))
        indexer.pause()
        site.server.kill()
        shutil.rmtree(site.volumes[0])
        shutil.copytree(site.backups / "disk", site.volumes[0])
        site.server.start()
        await Publisher(wire, safe, seed=1).events(40)
        indexer.resume()
        assert await indexer.wait_exit(60) == 1
        assert "no longer fits the log" in indexer.log_tail()
        async with indexer:
            await holds(wire, safe)
    assert len(rebuilt(indexer)) == 1
    assert "another message at" in rebuilt(indexer)[0]


async def test_a_log_that_was_begun_too_early_stands_in_the_way(site: Site) -> None:
    """Where the indexer was started on the empty server first, the restore is refused; its empty log can be deleted."""
    ledger = Ledger()
    indexer = site.indexer()
    async with indexer, Wire.connected(site.server.url) as wire:
        await Publisher(wire, ledger).events(20)
        await site.back_up_log()
    site.lose_everything()
    async with indexer:
        pass
    with pytest.raises(StreamBackupFailed, match="already in use"):
        await site.restore_log()
    async with Wire.connected(site.server.url) as wire:
        for stream in STREAMS:
            assert (await wire.api(f"STREAM.DELETE.{stream}"))["success"]
        await site.restore_log()
        async with indexer:
            await holds(wire, ledger)
