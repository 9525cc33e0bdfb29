"""Vectors beside the index: found again by the same model, gone when they are deleted, and never an error."""

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from fakes.making import unit
from precedent_indexer.index.vector_file import VectorFile, drop_inherited, inherit, open_vectors

C = "incidents"
WORD = "a text that nobody else has"


def bytes_in(directory: Path) -> bytes:
    """Everything in the files of a directory."""
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file())


def test_what_was_kept_is_found_after_a_restart(tmp_path: Path) -> None:
    """Bit by bit, for its own collection alone; what was not kept is not found."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {f"text {number}": unit(number) for number in range(1200)})
    file.close()
    again = open_vectors(tmp_path, "sha256:1")
    found = again.find(C, [f"text {number}" for number in range(1300)])
    assert set(found) == {f"text {number}" for number in range(1200)}
    assert all(np.array_equal(found[f"text {number}"], unit(number)) for number in range(1200))
    assert again.find("rules", ["text 1"]) == {}
    again.close()


def test_another_model_finds_nothing(tmp_path: Path) -> None:
    """A vector belongs to the model that computed it."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {"text": unit(1)})
    file.close()
    other = open_vectors(tmp_path, "sha256:2")
    assert other.find(C, ["text"]) == {}
    other.close()


@pytest.mark.parametrize("text", ["", "\x00", "a\ud800b", "näh 🚨", "x" * 40_000])
def test_every_text_is_a_key(tmp_path: Path, text: str) -> None:
    """Whatever an event may hold, its vector is found again."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {text: unit(1)})
    assert np.array_equal(file.find(C, [text])[text], unit(1))
    file.close()


def test_what_is_forgotten_leaves_no_trace(tmp_path: Path) -> None:
    """Its bytes are in none of the files, while the others are found."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {WORD: unit(1), "another": unit(2)})
    assert unit(1).tobytes() in bytes_in(tmp_path)
    file.forget(C, [WORD, "unknown"])
    assert unit(1).tobytes() not in bytes_in(tmp_path)
    assert list(file.find(C, [WORD, "another"])) == ["another"]
    file.close()
    assert unit(1).tobytes() not in bytes_in(tmp_path)


def test_a_collection_is_forgotten_whole(tmp_path: Path) -> None:
    """Nothing of it stays, and nothing else goes."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {f"text {number}": unit(number) for number in range(50)})
    file.keep("rules", {"text 1": unit(77)})
    file.forget_all(C)
    assert file.find(C, [f"text {number}" for number in range(50)]) == {}
    assert list(file.find("rules", ["text 1"])) == ["text 1"]
    assert unit(3).tobytes() not in bytes_in(tmp_path)
    file.close()


def test_a_superseded_text_is_held_no_longer(tmp_path: Path) -> None:
    """A revision's vector takes the place of the old one's."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {"old": unit(1)})
    file.keep(C, {"new": unit(2)}, superseded=["old"])
    assert list(file.find(C, ["old", "new"])) == ["new"]
    file.close()


def test_an_earlier_file_is_looked_into_and_left(tmp_path: Path) -> None:
    """What only the earlier one has is found and counted; once parted from, it is not asked any more."""
    earlier = VectorFile(tmp_path / "earlier", "sha256:1")
    earlier.keep(C, {"old": unit(1), "deleted": unit(2)})
    file = VectorFile(tmp_path / "new", "sha256:1", earlier)
    file.keep(C, {"new": unit(3)})
    assert set(file.find(C, ["old", "new", "neither"])) == {"old", "new"}
    file.forget(C, ["deleted"])
    assert earlier.find(C, ["deleted"]) == {}
    assert file.part_with_earlier() is earlier
    assert set(file.find(C, ["old", "new"])) == {"new"}
    file.close()
    earlier.close()


def test_an_earlier_file_of_another_model_is_not_looked_into(tmp_path: Path) -> None:
    """Its vectors cannot be compared with those of this one."""
    earlier = VectorFile(tmp_path / "earlier", "sha256:1")
    earlier.keep(C, {"text": unit(1)})
    file = VectorFile(tmp_path / "new", "sha256:2", earlier)
    assert file.find(C, ["text"]) == {}
    file.close()
    earlier.close()


def spoil_header(path: Path) -> None:
    """No database at all."""
    path.write_bytes(b"not a database" * 500)


def spoil_middle(path: Path) -> None:
    """A vector in the middle of the file is not the one that was kept; the pages are sound."""
    data = bytearray(path.read_bytes())
    at = data.index(unit(5).tobytes())
    data[at + 100] ^= 0xFF
    path.write_bytes(bytes(data))


def cut_short(path: Path) -> None:
    """The end of the file is gone."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize("damage", [spoil_header, spoil_middle, cut_short])
def test_a_damaged_file_is_dropped(tmp_path: Path, damage: object) -> None:
    """No error and no wrong vector: nothing is found, and by the next start it can be filled again."""
    texts = [f"text {number}" for number in range(100)]
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {text: unit(number) for number, text in enumerate(texts)})
    file.close()
    damage(tmp_path / "vectors.sqlite")  # type: ignore[operator]
    spoilt = open_vectors(tmp_path, "sha256:1")
    assert spoilt.find(C, ["text 5"]) == {}
    spoilt.keep(C, {"later": unit(1)})
    spoilt.forget(C, ["later"])
    spoilt.close()
    again = open_vectors(tmp_path, "sha256:1")
    again.keep(C, {"text": unit(1)})
    assert list(again.find(C, ["text", "text 5"])) == ["text"]
    again.close()


def test_a_file_that_cannot_be_made_keeps_nothing(tmp_path: Path) -> None:
    """Where there is no place for it, everything works as if nothing had been kept."""
    file = VectorFile(tmp_path / "missing" / "file", "sha256:1")
    file.keep(C, {"text": unit(1)})
    file.forget_all(C)
    assert file.find(C, ["text"]) == {}
    file.close()


def test_a_new_generation_inherits_until_it_has_read_the_log(tmp_path: Path) -> None:
    """Moved, found, counted, and removed as a whole in the end; what was used stays with the new one."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    given_up = open_vectors(old, "sha256:1")
    given_up.keep(C, {"used": unit(1), "unused": unit(2)})
    given_up.close()
    inherit(new, old)
    assert list(old.iterdir()) == []
    file = open_vectors(new, "sha256:1")
    file.keep(C, file.find(C, ["used"]))
    drop_inherited(file)
    assert list(file.find(C, ["used", "unused"])) == ["used"]
    assert unit(2).tobytes() not in bytes_in(new)
    file.close()
    again = open_vectors(new, "sha256:1")
    assert list(again.find(C, ["used", "unused"])) == ["used"]
    again.close()


def test_of_two_files_the_larger_is_inherited(tmp_path: Path) -> None:
    """A generation that was given up before it had read the log hands on what saves most."""
    first, second, third = (tmp_path / name for name in ("1", "2", "3"))
    for directory in (first, second, third):
        directory.mkdir()
    one = open_vectors(first, "sha256:1")
    one.keep(C, {f"text {number}": unit(number) for number in range(500)})
    one.close()
    inherit(second, first)
    two = open_vectors(second, "sha256:1")
    two.keep(C, {"text 1": unit(1)})
    two.close()
    inherit(third, second)
    inherit(third, tmp_path / "1")
    three = open_vectors(third, "sha256:1")
    assert len(three.find(C, [f"text {number}" for number in range(500)])) == 500
    three.close()


def test_the_file_is_a_plain_database(tmp_path: Path) -> None:
    """Whoever looks sees one table, whose keys are digests: no text can be read there."""
    file = open_vectors(tmp_path, "sha256:1")
    file.keep(C, {WORD: unit(1)})
    file.close()
    assert WORD.encode() not in bytes_in(tmp_path)
    with sqlite3.connect(tmp_path / "vectors.sqlite") as db:
        assert db.execute("SELECT count(*), length(key) FROM vectors").fetchone() == (1, 24)
    db.close()
