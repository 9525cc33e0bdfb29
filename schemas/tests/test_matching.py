"""When two texts are the same to a filter."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent_schemas.matching import _PERHAPS_TOWERS, _towers, canonical, holds

TOWER = "\u0316\u0301" * 50_000


@pytest.mark.parametrize(
    ("needle", "text", "expected"),
    [
        ("caf\u00e9", "le cafe\u0301 noir", True),
        ("cafe\u0301", "le caf\u00e9 noir", True),
        ("cafe", "le cafe\u0301 noir", True),
        ("cafe", "le caf\u00e9 noir", False),
        ("K", "\u212a", True),
        ("k", "\u212a", False),
        ("a", "\u0430", False),
        ("fi", "\ufb01", False),
        ("paypal", "pay\u200bpal", False),
        ("\ud55c", "\u1112\u1161\u11ab", True),
        ("b\u0301\u0316", "ab\u0316\u0301", True),
        ("", "x", True),
    ],
)
def test_substrings(needle: str, text: str, expected: bool) -> None:
    """As they stand or in normal form C; case, width, what is invisible and look-alikes make a difference."""
    assert holds(needle)(text) is expected


@given(st.text(), st.text(), st.text())
def test_whatever_is_a_substring_is_found(before: str, needle: str, after: str) -> None:
    """In the text as it stands, and in either normal form of it."""
    text = before + needle + after
    assert holds(needle)(text)
    assert canonical(unicodedata.normalize("NFD", text)) == canonical(text) == canonical(canonical(text))


def test_towers_of_accents_take_no_time() -> None:
    """A hundred thousand accents on one letter are compared: sorted as a whole, they would take minutes."""
    assert holds("a" + TOWER)("xa" + TOWER)
    assert not holds("b" + TOWER)("xa" + TOWER)


def test_no_accent_escapes_the_quick_look() -> None:
    """Every character that is sorted is in the ranges that are looked at closely, and in the planes that are known."""
    marks = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.combining(chr(code))]
    assert marks
    assert all(_PERHAPS_TOWERS.match(mark * 30) for mark in marks)
    assert all(_towers().match(mark * 30) for mark in marks)
