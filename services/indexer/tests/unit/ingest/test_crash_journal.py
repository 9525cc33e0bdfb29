"""What is written down of the messages in hand, and what the next process concludes from it."""

from pathlib import Path

import pytest

from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.layout import CRASH_JOURNAL
from precedent_indexer.ingest.crash_journal import CrashJournal


def note(directory: Path) -> CrashJournal:
    """The note as the next process finds it."""
    return CrashJournal(directory / CRASH_JOURNAL)


def suspects(found: CrashJournal) -> list[int]:
    """Which of the first sequences are suspected."""
    return [seq for seq in range(1, 20) if found.suspect(seq)]


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    """What is done, or given up in good order, is suspected by nobody, and no file stays."""
    first = note(tmp_path)
    first.take(1, 5)
    first.done(5)
    first.take(6, 9)
    first.clear()
    assert list(tmp_path.iterdir()) == []
    assert suspects(note(tmp_path)) == []


def test_what_was_in_hand_is_suspected(tmp_path: Path) -> None:
    """After an end in the midst of it, all that was named last is suspected, and what is done is so no more."""
    note(tmp_path).take(3, 6)
    second = note(tmp_path)
    assert suspects(second) == [3, 4, 5, 6]
    assert second.suspect(3) == 3
    second.done(4)
    assert suspects(second) == suspects(note(tmp_path)) == [5, 6]


def test_named_alone_at_two_ends_is_guilty(tmp_path: Path) -> None:
    """An end among others blames nobody; the second end of a message that was named alone makes it guilty."""
    note(tmp_path).take(1, 3)
    for blames in range(3):
        life = note(tmp_path)
        assert life.is_guilty(2) is (blames == 2)
        assert not life.is_guilty(1)
        life.take_alone(2)
    life.done(2)
    assert not note(tmp_path).is_guilty(2)
    assert suspects(note(tmp_path)) == [3]


def test_what_was_blamed_once_and_is_done_is_innocent(tmp_path: Path) -> None:
    """A message that went well after all is not blamed for what happens to it in another life."""
    note(tmp_path).take(1, 2)
    note(tmp_path).take_alone(1)
    life = note(tmp_path)
    life.take_alone(1)
    life.done(1)
    life = note(tmp_path)
    life.take_alone(1)
    assert not note(tmp_path).is_guilty(1)


def test_reading_a_note_changes_nothing(tmp_path: Path) -> None:
    """A process that ends before it touches anything leads to the same conclusions as one that was never there."""
    note(tmp_path).take(1, 2)
    note(tmp_path).take_alone(1)
    for _ in range(5):
        life = note(tmp_path)
        assert suspects(life) == [1, 2]
        assert not life.is_guilty(1)


def test_ends_add_to_what_is_suspected(tmp_path: Path) -> None:
    """What was suspected before an end stays so beside what was in hand at it."""
    note(tmp_path).take(4, 6)
    note(tmp_path).take(1, 3)
    assert suspects(note(tmp_path)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"taken": [1], "alone": 0, "suspected": [0, 0], "blames": {}}'])
def test_a_note_that_is_none_blames_nobody(tmp_path: Path, text: str) -> None:
    """A file that cannot be read is as good as none."""
    (tmp_path / CRASH_JOURNAL).write_text(text)
    assert suspects(note(tmp_path)) == []


def test_what_cannot_be_noted_is_not_touched(tmp_path: Path) -> None:
    """Where the note cannot be written, it is a fault of the store; letting go never fails."""
    life = CrashJournal(tmp_path / "gone" / CRASH_JOURNAL)
    with pytest.raises(StoreUnavailable, match="crash journal"):
        life.take(1, 2)
    life.clear()
    life.done(2)
