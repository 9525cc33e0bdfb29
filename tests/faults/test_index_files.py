"""Whatever becomes of the files of the index: the log has everything, and nobody needs to clean up by hand."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.indexer_process import IndexerProcess
from harness.waits import eventually
from harness.wire import Wire

LONG = bool(os.environ.get("FAULTS_LONG"))
ROWS = 400
"""Enough for Chroma to have written its graph to files."""


async def stopped_with_graph(indexer: IndexerProcess, wire: Wire, publisher: Publisher) -> Path:
    """Index so many events that there are files to break, and stop; the generation in use."""
    indexer.start()
    await indexer.wait_ready()
    names = await publisher.events(ROWS)
    await publisher.decide(names[0], "benign")
    await publisher.delete(names[1:3])
    await wire.covered((await wire.stats())["stream_seq"])
    assert await indexer.terminate() == 0
    return indexer.chroma_path / (indexer.chroma_path / "CURRENT").read_text(encoding="utf-8").strip()


def graph_file(name: str) -> Callable[[Path], Path]:
    """A file of the events' graph, the largest of its name."""

    def find(generation: Path) -> Path:
        return max(generation.glob(f"*/{name}"), key=lambda path: path.stat().st_size)

    return find


def halve(path: Path) -> None:
    """Cut a file in half."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def empty(path: Path) -> None:
    """Leave nothing of it."""
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    """Write nonsense over the middle of it."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(b"\xa5" * (size // 2))


def current(generation: Path) -> Path:
    """The file that names the generation in use."""
    return generation.parent / "CURRENT"


def database(generation: Path) -> Path:
    """Chroma's database."""
    return generation / "chroma.sqlite3"


Damage = tuple[str, Callable[[Path], Path], Callable[[Path], None]]
DAMAGE: list[Damage] = [
    ("database of nonsense", database, scribble),
    ("graph cut short", graph_file("data_level0.bin"), halve),
    ("ids cut short", graph_file("index_metadata.pickle"), halve),
    ("CURRENT of nonsense", current, scribble),
]
MORE_DAMAGE: list[Damage] = [
    ("database cut short", database, halve),
    ("graph of nonsense", graph_file("data_level0.bin"), scribble),
    ("graph emptied", graph_file("data_level0.bin"), empty),
    ("header of nonsense", graph_file("header.bin"), scribble),
    ("links of nonsense", graph_file("link_lists.bin"), scribble),
    ("links gone", graph_file("link_lists.bin"), Path.unlink),
    ("CURRENT gone", current, Path.unlink),
]


@pytest.mark.timeout(600)
async def test_damaged_files_are_noticed_and_mended_from_the_log(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    """Each of many ways to break the files is noticed at start, and the same index is there again, unasked.

    Some of them crash Chroma itself, and would take the indexer along if it looked for itself.
    """
    indexer, _ = new_rigged()
    await stopped_with_graph(indexer, own_wire, publisher)
    sound = tmp_path / "sound"
    shutil.copytree(indexer.chroma_path, sound)
    for name, find, damage in [*DAMAGE, *(MORE_DAMAGE if LONG else [])]:
        print(f"damage: {name}")
        shutil.rmtree(indexer.chroma_path)
        shutil.copytree(sound, indexer.chroma_path)
        generation = indexer.chroma_path / (sound / "CURRENT").read_text(encoding="utf-8").strip()
        damage(find(generation))
        async with indexer:
            await holds(own_wire, ledger, questions=50)


async def test_the_directory_is_deleted_while_stopped(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """An index that is gone at start is filled anew from the log."""
    indexer, _ = new_rigged()
    await stopped_with_graph(indexer, own_wire, publisher)
    shutil.rmtree(indexer.chroma_path)
    async with indexer:
        await holds(own_wire, ledger, questions=300)


async def test_the_directory_is_deleted_while_running(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """Its files deleted under its hands, the indexer notices and has the same index again; nobody restarts it."""
    indexer, _ = new_rigged()
    async with indexer:
        pid = indexer.pid
        await publisher.events(300)
        await own_wire.covered(300)

        def deleted() -> None:
            # Somebody may write there meanwhile.
            shutil.rmtree(indexer.chroma_path)

        await eventually(deleted, timeout=10, interval=0, exceptions=OSError)
        await publisher.events(50)

        async def there_again() -> None:
            assert (indexer.chroma_path / "CURRENT").is_file()

        await eventually(there_again, timeout=60)
        await holds(own_wire, ledger)
        assert (indexer.pid, indexer.returncode) == (pid, None)
    # What was begun anew is an index like any other.
    async with indexer:
        await publisher.events(5)
        await holds(own_wire, ledger, questions=50)


async def test_an_older_copy_is_put_back(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    """A copy from before revisions, decisions and deletions catches up, and what was deleted stays deleted."""
    indexer, _ = new_rigged()
    async with indexer:
        names = await publisher.events(60)
        await own_wire.covered(60)
    shutil.copytree(indexer.chroma_path, tmp_path / "copy")
    async with indexer:
        await publisher.revise(names[:10])
        await publisher.decide(names[20], "benign")
        await publisher.delete(names[30:40])
        await publisher.event(names[39])
        await publisher.events(40)
        await own_wire.covered((await own_wire.stats())["stream_seq"])
    shutil.rmtree(indexer.chroma_path)
    shutil.copytree(tmp_path / "copy", indexer.chroma_path)
    async with indexer:
        await holds(own_wire, ledger)


async def test_a_copy_of_a_lost_index_is_put_back(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher, tmp_path: Path
) -> None:
    """Lost, begun anew, and then found again in a copy: it is taken, catches up, and nobody cleans up by hand."""
    indexer, _ = new_rigged()
    async with indexer:
        names = await publisher.events(60)
        await own_wire.covered(60)
    indexer.chroma_path.rename(tmp_path / "copy")
    async with indexer:
        await publisher.revise(names[:10])
        await publisher.delete(names[30:40])
        await publisher.events(20)
        await own_wire.covered((await own_wire.stats())["stream_seq"])
    shutil.rmtree(indexer.chroma_path)
    (tmp_path / "copy").rename(indexer.chroma_path)
    async with indexer:
        await publisher.events(5)
        await holds(own_wire, ledger)
