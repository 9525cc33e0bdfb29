"""Since when a generation may hold deleted text: the oldest deletion counts, whatever the clock does."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.deleted_text import DeletedTextMarker


def test_the_oldest_deletion_counts_and_survives(tmp_path: Path) -> None:
    """Nothing at first; then the first deletion, also when there are more, and after a restart."""
    deleted_text = DeletedTextMarker(tmp_path)
    assert deleted_text.age_s() is None
    deleted_text.note()
    first = (tmp_path / "deleted-since").read_text()
    deleted_text.note()
    DeletedTextMarker(tmp_path).note()
    assert (tmp_path / "deleted-since").read_text() == first
    age = DeletedTextMarker(tmp_path).age_s()
    assert age is not None
    assert age >= 0


@pytest.mark.parametrize(
    "content", ["", "yesterday", "2026-01-01T00:00:00", (datetime.now(UTC) + timedelta(days=400)).isoformat()]
)
def test_a_time_that_cannot_be_counts_as_long_ago(tmp_path: Path, content: str) -> None:
    """A damaged file, or a clock that was set back, must not keep deleted text for ever."""
    (tmp_path / "deleted-since").write_text(content)
    age = DeletedTextMarker(tmp_path).age_s()
    assert age is not None
    assert age > timedelta(days=3650).total_seconds()


def test_a_deletion_that_cannot_be_noted_is_not_done(tmp_path: Path) -> None:
    """The store counts as unavailable: the deletion is tried again."""
    with pytest.raises(StoreUnavailable, match="deleted-since"):
        DeletedTextMarker(tmp_path / "missing").note()
