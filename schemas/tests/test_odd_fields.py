"""Optional fields as other systems write them mean one thing only; what is refused names the value and a legal one."""

import json

import pytest

from precedent_schemas.codec import DecodeError, decode_event
from precedent_schemas.fields import format_time

INVISIBLE = ["\u200b", "\ufeff", "\u2060\u200d", "\u00ad", "\u202e", "\u0000", " \u200b\t\u3000", "\u2028"]


def event(**fields: object) -> bytes:
    """The payload of an event with these fields."""
    return json.dumps({"text": "a", **fields}).encode()


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("severity", 4.0, 4),
        ("severity", 1e0, 1),
        ("attributes", {"a": None, "b": 1}, {"b": 1}),
        ("attributes", {"a": None}, {}),
        ("attributes", {**{f"k{n}": n for n in range(64)}, "null": None}, {f"k{n}": n for n in range(64)}),
        ("user", "", None),
        ("ip", "", None),
        ("source", "", None),
        ("user", None, None),
    ],
)
def test_what_means_one_thing_only_is_taken(field: str, given: object, kept: object) -> None:
    """A whole number with a fraction of zero, a null in attributes, an empty string: no event is lost by it."""
    assert getattr(decode_event(event(**{field: given})), field) == kept


@pytest.mark.parametrize("offset", ["Z", "+00:00", "+0000", "+00", "-00"])
def test_every_spelling_of_an_offset_is_taken(offset: str) -> None:
    """ISO 8601 writes an offset with and without colon and minutes."""
    found = decode_event(event(occurred_at=f"2026-01-31T12:00:00{offset}")).occurred_at
    assert found is not None
    assert format_time(found) == "2026-01-31T12:00:00.000Z"


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("severity", 0, "the nearest is 1 (got 0)"),
        ("severity", 9, "the nearest is 5 (got 9)"),
        ("severity", 4.4, "the nearest is 4 (got 4.4)"),
        ("severity", -1e300, "the nearest is 1 (got -1e+300)"),
        ("severity", "high", "(got 'high')"),
        ("severity", True, "(got True)"),
        ("occurred_at", "2026-01-31 12:00:00", "as in 2026-01-31T12:00:00Z (got '2026-01-31 12:00:00')"),
        ("source", "a\nb", "should be one line: replace line breaks by blanks (got 'a\\nb')"),
        ("source", "a\u2028b", "should be one line"),
        ("id", "", "(got '')"),
        ("attributes", {"a": [None]}, "key 'a' should be a string, number or boolean"),
    ],
)
def test_what_is_refused_names_the_value_and_a_legal_one(field: str, given: object, says: str) -> None:
    """A publisher can mend the event by the message alone."""
    with pytest.raises(DecodeError) as raised:
        decode_event(event(**{field: given}))
    assert says in str(raised.value)


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
def test_a_text_that_shows_nothing_is_no_text(text: str) -> None:
    """Zero-width, control and separating characters alone say nothing, and embed to noise."""
    with pytest.raises(DecodeError, match=r"visible character|at least 1 character"):
        decode_event(json.dumps({"text": text}).encode())
    assert decode_event(json.dumps({"text": f"{text}x"}).encode()).text.endswith("x")
