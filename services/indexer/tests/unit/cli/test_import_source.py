"""A data directory of the old service: read from a copy, with errors that name what exists."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest

from precedent_indexer.adapters.chroma.embedded import open_client
from precedent_indexer.cli.import_chroma import source as old_directory
from precedent_indexer.cli.import_chroma.source import old_collection
from precedent_indexer.errors import ImportFailed

GOLDEN = Path(__file__).parents[2] / "golden" / "old_service_chroma_1_2_1.sqlite3.gz"
"""Written by chromadb 1.2.1, as the old service did: `semantic_history` (11 items) and `refined_rules` (3)."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The data directory of the old service."""
    directory = tmp_path / "chroma_data"
    directory.mkdir()
    (directory / "chroma.sqlite3").write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    return directory


def test_a_real_old_directory_is_read_in_the_order_of_its_items(old: Path) -> None:
    """Ids, texts and metadata of chromadb 1.2.1, without what the old service had deleted."""
    with old_collection(old, "semantic_history") as collection:
        ids = collection.ids()
        items = collection.items(ids[::-1])
    assert ids == [*(f"item-{number}" for number in range(8)), "4f1d-naive", "odd one!", "seq-7"]
    assert [item.id for item in items] == ids[::-1]
    assert items[-1].document == "failed login 0 for admin from the office network"
    assert items[-1].metadata == {
        "user": "user0",
        "ip": "203.0.113.0",
        "severity": 1,
        "timestamp": "2025-03-01T10:00:00.123456+02:00",
        "shift": "night",
        "attempt": 0,
        "automatic": True,
    }


def test_rules_and_items_without_a_text_are_read(old: Path) -> None:
    """An item without a document is an item."""
    with old_collection(old, "refined_rules") as collection:
        texts = {item.id: item.document for item in collection.items(collection.ids())}
    assert texts["rule-3"] is None
    assert texts["rule-2"] == "Never block the office network"


def test_the_original_is_not_touched(old: Path) -> None:
    """Nothing in it changes, also where Chroma brings the copy to a newer layout, and nothing stays of the copy."""
    database = old / "chroma.sqlite3"
    before = database.read_bytes(), database.stat().st_mtime_ns
    old.chmod(0o500)
    with old_collection(old, "semantic_history") as collection:
        collection.ids()
    old.chmod(0o700)
    assert (database.read_bytes(), database.stat().st_mtime_ns) == before
    assert [one.name for one in old.iterdir()] == ["chroma.sqlite3"]


def test_a_directory_of_the_installed_chroma_is_read_whatever_became_of_its_vectors(tmp_path: Path) -> None:
    """More items than are read at once, in a newer layout, with broken vector files beside them."""
    directory = tmp_path / "new"
    client = open_client(directory)
    history = client.create_collection("semantic_history", embedding_function=None)
    ids = [f"item-{number}" for number in range(1500)]
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        history.add(ids=part, documents=part, embeddings=np.ones((len(part), 2), np.float32))
    client.close()  # type: ignore[attr-defined] # the interface lacks what the client has
    broken = [file for file in directory.glob("*/*") if file.is_file()]
    for file in broken:
        file.write_bytes(b"torn")
    with old_collection(directory, "semantic_history") as collection:
        assert collection.ids() == ids
        assert [item.document for item in collection.items(ids[1000:])] == ids[1000:]
    assert broken


def test_an_unknown_collection_names_those_that_exist(old: Path) -> None:
    """With the number of their items, so that one can choose."""
    with (
        pytest.raises(ImportFailed, match=r"'history'.* refined_rules \(3 items\), semantic_history \(11 items\)"),
        old_collection(old, "history"),
    ):
        pass


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A misspelt path is not created."""
    with pytest.raises(ImportFailed, match=r"no directory .*nowhere"), old_collection(tmp_path / "nowhere", "x"):
        pass
    assert not (tmp_path / "nowhere").exists()


def test_a_directory_above_the_right_one_says_so(old: Path) -> None:
    """It names what it found there, and the directory that was probably meant."""
    with (
        pytest.raises(ImportFailed, match=r"no chroma.sqlite3, but chroma_data/; did you mean .*chroma_data\?"),
        old_collection(old.parent, "semantic_history"),
    ):
        pass


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """The message says what could not be opened."""
    (tmp_path / "chroma.sqlite3").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(ImportFailed, match="cannot open a copy of"), old_collection(tmp_path, "semantic_history"):
        pass


def test_no_room_for_the_copy_is_said_before_anything_is_copied(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has both numbers and the remedy."""
    monkeypatch.setattr(old_directory, "_SPARE_BYTES", 1 << 60)
    with (
        pytest.raises(ImportFailed, match=r"needs 1,152,[0-9,]+ bytes .* are free: .* TMPDIR"),
        old_collection(old, "semantic_history"),
    ):
        pass


def test_an_old_service_that_still_writes_is_noticed(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that changes while it is copied would be torn: it says to stop the old service."""
    copy = shutil.copyfile

    def copy_while_written_to(source: Path, target: Path) -> None:
        copy(source, target)
        with source.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(shutil, "copyfile", copy_while_written_to)
    with (
        pytest.raises(ImportFailed, match="written to while it was copied: stop the old service"),
        old_collection(old, "semantic_history"),
    ):
        pass
