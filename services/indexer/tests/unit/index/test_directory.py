"""The directory of the index: locked, switched in one step, and clean."""

import os
from pathlib import Path

import pytest

from precedent_indexer.errors import StartRefused
from precedent_indexer.index.directory import IndexDirectory, carry_files, moved


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


def test_a_damaged_current_is_told_from_a_missing_one(tmp_path: Path) -> None:
    """A CURRENT that is there and names nothing is damaged; none, or a sound one, is not."""
    directory = IndexDirectory(tmp_path)
    assert not directory.is_damaged()
    directory.switch(directory.new())
    assert not directory.is_damaged()
    (tmp_path / "CURRENT").write_text("generation-000009\n")
    assert directory.is_damaged()
    (tmp_path / "CURRENT").unlink()
    (tmp_path / "CURRENT").mkdir()
    assert directory.is_damaged()
    directory.close()


def test_several_generations_can_be_kept(tmp_path: Path) -> None:
    """They are listed in the order in which they were made, and dropped but for those that are named."""
    directory = IndexDirectory(tmp_path)
    made = [directory.new() for _ in range(12)]
    (tmp_path / "generation-odd").mkdir()
    assert directory.all() == [tmp_path / "generation-odd", *made]
    directory.drop(made[0])
    dropped = directory.drop_others(made[3], made[11])
    assert directory.all() == [made[3], made[11]]
    assert dropped == ["generation-odd", *(one.name for one in (*made[1:3], *made[4:11]))]
    assert directory.new().name == "generation-000013"
    directory.close()


@pytest.mark.parametrize("linkable", [True, False])
def test_files_are_carried_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, linkable: bool
) -> None:
    """Linked where that is possible, else copied; where it fails, nothing is left behind."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "graph").write_text("the graph")
    (source / "tokenizer").write_text("the tokenizer")

    def refuse(*_args: object) -> None:
        raise OSError("fake: another file system")

    if not linkable:
        monkeypatch.setattr(os, "link", refuse)
    carry_files(source, target)
    assert {one.name: one.read_text() for one in target.iterdir()} == {
        "graph": "the graph",
        "tokenizer": "the tokenizer",
    }
    assert (target / "graph").samefile(source / "graph") is linkable
    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr("shutil.copyfile", refuse)
    with pytest.raises(OSError, match="fake"):
        carry_files(source, tmp_path / "another")
    assert names(tmp_path) == ["source", "target"]


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


@pytest.mark.parametrize("instead", [False, True])
def test_a_directory_that_is_gone_is_made_and_locked_again(tmp_path: Path, *, instead: bool) -> None:
    """Deleted, or replaced by another: the one at the path is locked from then on, and used."""
    path = tmp_path / "deep" / "chroma"
    directory = IndexDirectory(path)
    before, held = open_files(), directory.lock
    directory.renew()
    assert directory.lock == held
    path.rename(path.with_name("aside"))
    if instead:
        path.mkdir()
    directory.renew()
    with pytest.raises(StartRefused, match="in use by another process"):
        IndexDirectory(path)
    assert open_files() <= before
    directory.switch(directory.new())
    assert names(path) == ["CURRENT", "generation-000001"]
    directory.close()
    IndexDirectory(path).close()


def test_a_directory_that_another_process_has_made_meanwhile_is_its(tmp_path: Path) -> None:
    """It is not taken from the other one, and what is locked stays so until the end."""
    path = tmp_path / "chroma"
    directory = IndexDirectory(path)
    path.rmdir()
    other = IndexDirectory(path)
    with pytest.raises(StartRefused, match="in use by another process"):
        directory.renew()
    other.close()
    directory.close()


def test_a_path_that_cannot_be_a_directory_is_refused(tmp_path: Path) -> None:
    """The message names the path, the cause and the setting."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StartRefused, match=r"file.*PRECEDENT_CHROMA_PATH"):
        IndexDirectory(tmp_path / "file")


def test_a_relative_path_that_means_another_directory_is_said(tmp_path: Path) -> None:
    """Started from another working directory, the message names both; an absolute path or the same one is silent."""
    here, last = tmp_path / "data" / "chroma", "/srv/precedent/data/chroma"
    said = moved(Path("data/chroma"), here, last)
    assert said is not None
    assert f"means {here} from here, and meant {last} at the last start" in said
    assert f"set PRECEDENT_CHROMA_PATH={last}" in said
    assert moved(here, here, last) is None
    assert moved(Path("data/chroma"), here, str(here)) is None
    assert moved(Path("data/chroma"), here, None) is None


@pytest.mark.parametrize("which", ["the directory", "a file of the generation in use"])
def test_what_may_not_be_written_is_named_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """A directory, or a file in it, that belongs to another user refuses the start in one message, and is let go of."""
    directory = IndexDirectory(tmp_path)
    generation = directory.new()
    directory.switch(generation)
    file = generation / "chroma.sqlite3"
    file.touch()
    directory.close()
    denied = tmp_path if which == "the directory" else file
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != denied and access(path, mode))
    with pytest.raises(StartRefused, match=f"may not write {denied};.*PRECEDENT_CHROMA_PATH"):
        IndexDirectory(tmp_path)
    monkeypatch.undo()
    IndexDirectory(tmp_path).close()
