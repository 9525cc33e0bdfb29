"""A cursor fits its own listing and no other, in one spelling."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent_indexer.api.paging import read_cursor, write_cursor
from precedent_indexer.errors import QuestionFailed

LISTING = ["incidents", "newest", None, "2026-01-31T12:00:00Z"]


@given(st.integers(1, 2**63 - 1))
def test_it_leads_back_to_its_sequence(seq: int) -> None:
    """Written and read again, it says the same, and shows callers no sequence to count with."""
    cursor = write_cursor(LISTING, seq)
    assert read_cursor(LISTING, cursor) == seq
    assert len(cursor) < 100


@pytest.mark.parametrize("at", range(len(LISTING)))
def test_it_fits_no_other_listing(at: int) -> None:
    """Another collection, order, filter, or a log that was made anew: each refuses it."""
    other = [*LISTING[:at], "other", *LISTING[at + 1 :]]
    with pytest.raises(QuestionFailed):
        read_cursor(other, write_cursor(LISTING, 7))


def recoded(text: str) -> str:
    """Base64 of a text, as cursors are written."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(st.text(max_size=100) | st.from_regex(r"[A-Za-z0-9_-]{0,60}", fullmatch=True))
def test_no_made_up_string_is_one(cursor: str) -> None:
    """Whatever a caller makes up without the recipe, it is refused with one error."""
    with pytest.raises(QuestionFailed) as refused:
        read_cursor(LISTING, cursor)
    assert [one.field for one in refused.value.details] == ["cursor"]


@pytest.mark.parametrize(
    "change",
    [
        lambda cursor: cursor + "=",
        lambda cursor: cursor + "\n",
        lambda cursor: cursor[:4] + "!" + cursor[4:],
        lambda cursor: recoded(base64.urlsafe_b64decode(cursor + "==").decode().replace("70.", "7_0.")),
        lambda cursor: recoded("+" + base64.urlsafe_b64decode(cursor + "==").decode()),
        lambda cursor: recoded(" " + base64.urlsafe_b64decode(cursor + "==").decode()),
        lambda cursor: recoded(base64.urlsafe_b64decode(cursor + "==").decode().replace("70.", "\u0667\u0660.")),
        lambda cursor: cursor.swapcase(),
    ],
)
def test_it_has_one_spelling(change: object) -> None:
    """What a lenient reader would take for the same is refused."""
    cursor = write_cursor(LISTING, 70)
    with pytest.raises(QuestionFailed):
        read_cursor(LISTING, change(cursor))  # type: ignore[operator] # a function of the table
