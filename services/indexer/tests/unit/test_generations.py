"""The directory of the index: locked, switched in one step, and clean."""

import os
from pathlib import Path

import pytest

from precedent_indexer.errors import StartRefused
from precedent_indexer.generations import IndexDirectory


def names(path: Path) -> list[str]:
    """What lives in a directory."""
    return sorted(one.name for one in path.iterdir())


def open_files() -> int:
    """The number that the next opened file gets: it grows where one is left open."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


def test_a_generation_is_not_in_use_before_the_switch(tmp_path: Path) -> None:
    """A fresh directory has none in use; a new one is empty and comes into use by the switch alone."""
    directory = IndexDirectory(tmp_path / "deep" / "chroma")
    assert directory.current() is None
    first = directory.new()
    assert (directory.current(), names(first)) == (None, [])
    directory.switch(first)
    assert directory.current() == first
    second = directory.new()
    assert directory.current() == first
    directory.switch(second)
    assert directory.current() == second
    assert names(tmp_path / "deep" / "chroma") == ["CURRENT", "generation-000001", "generation-000002"]
    assert directory.drop_others(second) == ["generation-000001"]
    assert names(tmp_path / "deep" / "chroma") == ["CURRENT", "generation-000002"]
    directory.close()


def test_a_switch_that_is_cut_off_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rename, the old generation is in use, and nothing else lies beside the generations."""
    directory = IndexDirectory(tmp_path)
    first = directory.new()
    directory.switch(first)
    second = directory.new()
    seen: list[tuple[Path | None, list[str]]] = []

    def cut_off(_draft: Path, _target: Path) -> None:
        seen.append((directory.current(), names(tmp_path)))
        raise OSError("cut off")

    monkeypatch.setattr(Path, "replace", cut_off)
    with pytest.raises(OSError, match="cut off"):
        directory.switch(second)
    assert seen == [(first, ["CURRENT", first.name, second.name])]
    assert directory.current() == first
    monkeypatch.undo()
    assert directory.new().name == "generation-000003"
    directory.close()


@pytest.mark.parametrize(
    "content", ["", "generation-000009\n", "../elsewhere", "generation-/../..", "CURRENT", "/", "\x00"]
)
def test_a_current_that_names_no_generation_is_none(tmp_path: Path, content: str) -> None:
    """Whatever else CURRENT holds, nothing outside of the generations is ever taken for one."""
    (tmp_path.parent / "elsewhere").mkdir(exist_ok=True)
    directory = IndexDirectory(tmp_path)
    (tmp_path / "CURRENT").write_text(content)
    assert directory.current() is None
    (tmp_path / "CURRENT").write_bytes(b"\xff\xfe")
    assert directory.current() is None
    directory.close()


def test_what_is_not_a_generation_is_left_alone(tmp_path: Path) -> None:
    """Only generations are dropped."""
    directory = IndexDirectory(tmp_path)
    keep = directory.new()
    (tmp_path / "mine").mkdir()
    (tmp_path / "notes").write_text("x")
    assert directory.drop_others(keep) == []
    assert names(tmp_path) == [keep.name, "mine", "notes"]
    directory.close()


def test_the_second_one_is_refused_with_the_remedy(tmp_path: Path) -> None:
    """One index has one writer: the second is told which directory it is and what to do, until the first lets go."""
    first = IndexDirectory(tmp_path)
    before = open_files()
    with pytest.raises(StartRefused, match="in use by another process") as refused:
        IndexDirectory(tmp_path)
    assert str(tmp_path) in str(refused.value)
    assert "PRECEDENT_CHROMA_PATH" in str(refused.value)
    assert open_files() == before
    assert names(tmp_path) == []
    first.close()
    IndexDirectory(tmp_path).close()


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    """The message names the path, the cause and the setting."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartRefused, match=r"file.*PRECEDENT_CHROMA_PATH"):
        IndexDirectory(tmp_path / "file")
