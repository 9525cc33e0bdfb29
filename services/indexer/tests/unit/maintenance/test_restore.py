"""A backup put in the place of the index: only one that is whole, and in one step."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from fakes.generation_files import GRAPH, IDENTITY, Files, heard, held, made_index, put
from precedent_indexer.app import backup as backups
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.errors import CommandFailed
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.maintenance.backup.files import files_in
from precedent_indexer.maintenance.backup.restore import restore
from precedent_indexer.maintenance.backup.snapshot import back_up
from precedent_indexer.settings import Settings


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of an index that has a row."""
    made_index(tmp_path / "origin")
    back_up(tmp_path / "origin", tmp_path / "backup", Files().looks, heard)
    return tmp_path / "backup"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[IndexDirectory]:
    """Another index, whose row is another."""
    generation = made_index(tmp_path / "chroma")
    put(generation / "chroma.sqlite3", ["row of now"])
    opened = IndexDirectory(tmp_path / "chroma")
    yield opened
    opened.close()


def test_the_backup_takes_the_place_of_the_index(backup: Path, directory: IndexDirectory) -> None:
    """It is a generation of its own, byte for byte what was backed up; the one before is gone."""
    before = directory.current()
    assert before is not None
    restored = restore(backup, directory, Files().looks, heard)
    assert directory.current() == restored.generation != before
    assert directory.all() == [restored.generation]
    assert restored.removed == [before.name]
    assert restored.manifest.index == IDENTITY
    for name in files_in(backup / "index"):
        assert (restored.generation / name).read_bytes() == (backup / "index" / name).read_bytes()
    assert held(restored.generation / "chroma.sqlite3") == ["row"]


def test_a_backup_is_restored_where_nothing_is(backup: Path, tmp_path: Path) -> None:
    """A fresh volume has an index afterwards, and nothing but it."""
    fresh = IndexDirectory(tmp_path / "fresh")
    restored = restore(backup, fresh, Files().looks, heard)
    fresh.close()
    assert sorted(path.name for path in (tmp_path / "fresh").iterdir()) == ["CURRENT", restored.generation.name]


def cut(path: Path) -> None:
    """Take away the last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    """Change one bit."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", [GRAPH, "chroma.sqlite3", "vectors.sqlite", "model/model.onnx"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_damaged_backup_is_refused_by_name(
    backup: Path, directory: IndexDirectory, name: str, damage: Callable[[Path], None]
) -> None:
    """One bit, one byte or one file less: the file is named, and the index is as it was."""
    before, held_before = directory.current(), directory.all()
    damage(backup / "index" / name)
    with pytest.raises(CommandFailed, match=f"{name}.*nothing was changed"):
        restore(backup, directory, Files().looks, heard)
    assert (directory.current(), directory.all()) == (before, held_before)


def test_a_file_too_many_is_refused(backup: Path, directory: IndexDirectory) -> None:
    """What the manifest does not know is never put into an index."""
    (backup / "index" / "extra").write_text("mine")
    with pytest.raises(CommandFailed, match="extra"):
        restore(backup, directory, Files().looks, heard)


def test_an_index_that_cannot_be_used_is_not_put_in_place(backup: Path, directory: IndexDirectory) -> None:
    """The probe is asked before the switch; versions are named, since another one may read it."""
    before = directory.all()
    files = Files()
    files.broken = "its probe failed: unknown schema"
    with pytest.raises(CommandFailed, match=r"unknown schema.*chromadb \d.*nothing was changed"):
        restore(backup, directory, files.looks, heard)
    assert directory.all() == before


def test_an_index_format_that_nobody_reads_is_refused_with_the_remedy(backup: Path, directory: IndexDirectory) -> None:
    """It says that the log fills an index that is not there."""
    path = backup / "manifest.json"
    old = asdict(replace(IDENTITY, index_format=INDEX_FORMAT - 1))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"index": old}))
    with pytest.raises(CommandFailed, match=f"format {INDEX_FORMAT - 1}.*filled from the log"):
        restore(backup, directory, Files().looks, heard)


def test_an_index_in_use_is_not_replaced(backup: Path, directory: IndexDirectory) -> None:
    """While an indexer has the directory, the command ends and says so."""
    settings = Settings(precedent_chroma_path=directory.path)
    with pytest.raises(CommandFailed, match="in use by another process"):
        backups.restore_backup(settings, backup, heard)


def test_an_index_in_a_server_has_its_own_backups(backup: Path, tmp_path: Path) -> None:
    """Both commands refuse, and touch nothing."""
    settings = Settings(precedent_chroma_url="http://127.0.0.1:8000", precedent_chroma_path=tmp_path / "none")
    with pytest.raises(CommandFailed, match="Chroma server"):
        backups.restore_backup(settings, backup, heard)
    with pytest.raises(CommandFailed, match="Chroma server"):
        backups.take_backup(settings, tmp_path / "other", heard)
    assert not (tmp_path / "none").exists()
