"""A backup of the index: whole, of one moment, for its owner alone, or not there."""

import json
import os
import sqlite3
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.generation_files import GRAPH, IDENTITY, Files, fill, heard, held, made_index, put
from precedent_indexer.errors import CommandFailed
from precedent_indexer.index.directory import IndexDirectory, current_generation
from precedent_indexer.maintenance.backup import snapshot
from precedent_indexer.maintenance.backup.files import copy_database, copy_file, files_in, pinned
from precedent_indexer.maintenance.backup.manifest import read_manifest
from precedent_indexer.maintenance.backup.snapshot import back_up
from precedent_indexer.runtime.file_lock import exclusive_lock

SAVED = [GRAPH, "6e0c1b0a/header.bin", "chroma.sqlite3", "deleted-since", "model/model.onnx", "vectors.sqlite"]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """The directory of an index."""
    made_index(tmp_path / "chroma")
    return tmp_path / "chroma"


def once(done: Callable[[], None]) -> Callable[[str, int, int], None]:
    """A report of progress at whose first word something is done."""
    left = [done]

    def report(_phase: str, _done: int, _total: int) -> None:
        if left:
            left.pop()()

    return report


def test_a_backup_holds_the_index_and_says_what_it_is(index: Path, tmp_path: Path) -> None:
    """Everything but what is of the moment is in it, and the manifest says what, of which index, and up to where."""
    files = Files()
    manifest = back_up(index, tmp_path / "backup", files.looks, heard)
    assert files_in(tmp_path / "backup") == sorted([*(f"index/{name}" for name in SAVED), "manifest.json"])
    assert manifest == read_manifest(tmp_path / "backup")
    assert manifest.index == IDENTITY
    assert manifest.collections == {"incidents": 3, "rules": 0}
    assert sorted(manifest.files) == sorted(SAVED)
    assert manifest.bytes == sum((tmp_path / "backup" / "index" / name).stat().st_size for name in SAVED)
    assert set(manifest.made_by) == {"precedent-indexer", "chromadb"}
    assert held(tmp_path / "backup" / "index" / "chroma.sqlite3") == ["row"]
    assert held(tmp_path / "backup" / "index" / "vectors.sqlite") == ["vector"]
    assert (tmp_path / "backup" / "index" / GRAPH).read_text() == f"{GRAPH} of generation-000001"
    # The copy was looked at, and never the index itself.
    assert len(files.probed) == len(files.described) == 1
    assert not files.probed[0].is_relative_to(index)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "chroma"]


def test_a_backup_is_for_its_owner_alone(index: Path, tmp_path: Path) -> None:
    """The text of events is in it: nobody else may read it, whatever the umask."""
    before = os.umask(0)
    try:
        back_up(index, tmp_path / "backup", Files().looks, heard)
    finally:
        os.umask(before)
    for path in (tmp_path / "backup", *(tmp_path / "backup").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_an_empty_directory_is_taken_and_a_full_one_is_not(index: Path, tmp_path: Path) -> None:
    """What is there is never overwritten, and the remedy is said."""
    target = tmp_path / "backup"
    target.mkdir()
    back_up(index, target, Files().looks, heard)
    before = (target / "manifest.json").read_bytes()
    with pytest.raises(CommandFailed, match="not empty"):
        back_up(index, target, Files().looks, heard)
    assert (target / "manifest.json").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CommandFailed, match="not empty"):
        back_up(index, tmp_path / "file", Files().looks, heard)


@pytest.mark.parametrize(
    ("target", "says"),
    [("chroma/backup", "in the index itself"), ("nowhere/backup", "no directory .*nowhere"), ("chroma", "itself")],
)
def test_a_backup_that_has_no_place_is_refused(index: Path, tmp_path: Path, target: str, says: str) -> None:
    """Into the index, or below what is not there: refused, and nothing is left."""
    with pytest.raises(CommandFailed, match=says):
        back_up(index, tmp_path / target, Files().looks, heard)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chroma"]
    assert sorted(path.name for path in index.iterdir()) == ["CURRENT", "generation-000001"]


def test_no_index_no_backup(tmp_path: Path) -> None:
    """A directory without an index is named, and not made."""
    with pytest.raises(CommandFailed, match=r"no index in .*missing"):
        back_up(tmp_path / "missing", tmp_path / "backup", Files().looks, heard)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_is_not_sound_is_no_backup(index: Path, tmp_path: Path) -> None:
    """Where the probe of the copy fails, or it does not say what it is, nothing is left behind."""
    files = Files()
    files.broken = "its probe failed: torn"
    with pytest.raises(CommandFailed, match="torn"):
        back_up(index, tmp_path / "backup", files.looks, heard)
    unnamed = Files()
    unnamed.identity = None
    with pytest.raises(CommandFailed, match="what it is"):
        back_up(index, tmp_path / "backup", unnamed.looks, heard)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chroma"]


def test_what_a_killed_backup_left_is_cleared(index: Path, tmp_path: Path) -> None:
    """A draft that nobody writes any more is written anew; what lay in it is not in the backup."""
    draft = tmp_path / "backup.partial"
    (draft / "index").mkdir(parents=True)
    (draft / "index" / "stale").write_text("half")
    back_up(index, tmp_path / "backup", Files().looks, heard)
    assert "index/stale" not in files_in(tmp_path / "backup")
    assert not draft.exists()


def test_two_backups_to_one_place_do_not_mix(index: Path, tmp_path: Path) -> None:
    """The second is refused while the first is at work, and the first is whole."""
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(CommandFailed, match="another backup") as caught:
            back_up(index, tmp_path / "backup", Files().looks, heard)
        refused.append(str(caught.value))

    back_up(index, tmp_path / "backup", Files().looks, once(second))
    assert len(refused) == 1
    assert read_manifest(tmp_path / "backup").files.keys() == set(SAVED)


def test_who_writes_waits_while_the_graph_is_copied(index: Path, tmp_path: Path) -> None:
    """The turn of the generation is taken from the first file of the graph to the last, and given back."""
    generation = current_generation(index)
    assert generation is not None
    taken: list[bool] = []

    def write() -> None:
        with pytest.raises(TimeoutError), exclusive_lock(generation, 0):
            pass
        taken.append(True)

    back_up(index, tmp_path / "backup", Files().looks, once(write))
    assert taken
    with exclusive_lock(generation, 0):
        pass


def test_a_graph_that_is_written_nevertheless_is_copied_again(index: Path, tmp_path: Path) -> None:
    """By one who takes no turns: the second copy is the backup."""
    generation = current_generation(index)
    assert generation is not None
    back_up(index, tmp_path / "backup", Files().looks, once(lambda: (generation / GRAPH).write_text("later")))
    assert (tmp_path / "backup" / "index" / GRAPH).read_text() == "later"


def test_a_generation_that_is_replaced_meanwhile_is_left(index: Path, tmp_path: Path) -> None:
    """A rebuild switched under the copy: the backup is of the new generation, with nothing of the old."""

    def switch() -> None:
        directory = IndexDirectory(index)
        generation = directory.new()
        fill(generation)
        directory.switch(generation)
        directory.drop_others(generation)
        directory.close()

    back_up(index, tmp_path / "backup", Files().looks, once(switch))
    assert (tmp_path / "backup" / "index" / GRAPH).read_text() == f"{GRAPH} of generation-000002"


def test_an_index_that_never_stands_still_is_given_up(index: Path, tmp_path: Path) -> None:
    """After a few copies the command ends, says why, and leaves nothing."""
    generation = current_generation(index)
    assert generation is not None
    times = 0

    def report(_phase: str, _done: int, _total: int) -> None:
        nonlocal times
        times += 1
        os.utime(generation / GRAPH, ns=(times, times))

    with pytest.raises(CommandFailed, match="changed under each of"):
        back_up(index, tmp_path / "backup", Files().looks, report)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chroma"]


def test_a_slow_disk_does_not_hold_up_the_index(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the graph that would keep the writer waiting for too long is given up, with the remedy."""
    monkeypatch.setattr(snapshot, "_PATIENCE_S", 0)
    with pytest.raises(CommandFailed, match=r"in which nothing is indexed.*stop the indexer"):
        back_up(index, tmp_path / "backup", Files().looks, heard)


def test_a_database_is_copied_as_of_the_moment_it_was_pinned(tmp_path: Path) -> None:
    """What is written after that moment, also in the midst of the copy, is not in it."""
    source = tmp_path / "chroma.sqlite3"
    many = [f"{number:05d}" + "x" * 3000 for number in range(3000)]
    put(source, many)
    with pinned(source) as database:
        put(source, ["later"])
        copy_database(database, tmp_path / "copy", lambda _: put(source, ["later still"]))
    assert held(tmp_path / "copy") == many
    assert "later still" in held(source)


def test_what_is_no_database_is_said(index: Path, tmp_path: Path) -> None:
    """The remedy is not to be guessed from a traceback."""
    generation = current_generation(index)
    assert generation is not None
    (generation / "chroma.sqlite3").write_text("no database at all, and more than a header's length of it" * 10)
    with pytest.raises(CommandFailed, match="cannot be copied"):
        back_up(index, tmp_path / "backup", Files().looks, heard)


def test_files_are_copied_and_counted(tmp_path: Path) -> None:
    """Every byte is told of; what is there already is not overwritten."""
    (tmp_path / "source").write_bytes(b"x" * 10_000_000)
    told: list[int] = []
    copy_file(tmp_path / "source", tmp_path / "deep" / "copy", told.append)
    assert (sum(told), len(told) > 1) == (10_000_000, True)
    assert (tmp_path / "deep" / "copy").read_bytes() == (tmp_path / "source").read_bytes()
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "source", tmp_path / "deep" / "copy", told.append)


def test_a_missing_database_is_not_made(tmp_path: Path) -> None:
    """To pin what is not there fails, and leaves no empty file."""
    with pytest.raises(sqlite3.Error), pinned(tmp_path / "none.sqlite3"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"format": 2, "made_by": {"precedent-indexer": "9.9"}}, "format 2, this version reads 1.*9.9"),
        ({"files": {"a": {"bytes": -1, "sha256": "0" * 64}}}, "damaged"),
        ({"index": None}, "damaged"),
    ],
)
def test_a_manifest_of_another_kind_is_refused(
    index: Path, tmp_path: Path, change: dict[str, object], says: str
) -> None:
    """Another format names the version that reads it; a damaged one is called so."""
    back_up(index, tmp_path / "backup", Files().looks, heard)
    path = tmp_path / "backup" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CommandFailed, match=says):
        read_manifest(tmp_path / "backup")


def test_a_backup_without_a_manifest_is_none(tmp_path: Path) -> None:
    """It was never finished, or is something else; bytes that are no text are damaged."""
    with pytest.raises(CommandFailed, match="never finished"):
        read_manifest(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandFailed, match="damaged"):
        read_manifest(tmp_path)


def test_the_watermark_of_a_manifest_is_that_of_the_copy(index: Path, tmp_path: Path) -> None:
    """It is read from the copy, not from the index, which may be further by then."""
    files = Files()
    files.identity = replace(IDENTITY, watermark=7)
    assert back_up(index, tmp_path / "backup", files.looks, heard).index.watermark == 7
