"""An item of the old service as an event."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent_indexer.cli.import_chroma.convert import (
    NO_TEXT,
    Choices,
    Converted,
    NotConvertible,
    OldItem,
    convert,
    event_id,
)
from precedent_schemas.codec import decode_event
from precedent_schemas.limits import MAX_LOG_MESSAGE_BYTES, MAX_TEXT_CHARS
from precedent_schemas.subjects import is_kind

PLAIN: dict[str, Any] = {"user": "admin", "ip": "10.0.0.1", "severity": 3, "timestamp": "2025-03-01T10:00:00Z"}
DAY = datetime(2025, 3, 1, 10, tzinfo=UTC)


def converted(document: str | None = "a login failed", item_id: str = "item-1", **changes: Any) -> Converted:
    """A plain item with some of its metadata changed; None leaves a key out."""
    metadata = {key: value for key, value in (PLAIN | changes).items() if value is not None}
    return convert(OldItem(item_id, document, metadata), Choices())


def test_a_plain_item_is_taken_over_without_a_change() -> None:
    """Where every value is legal, nothing is named as changed and the caller's own keys are the attributes."""
    result = converted(shift="night", attempt=3, automatic=True, score=0.5)
    body = result.body
    assert result.changes == ()
    assert (body.id, body.text, body.user, body.ip) == ("item-1", "a login failed", "admin", "10.0.0.1")
    assert (body.severity, body.occurred_at, result.kind) == (3, DAY, "imported")
    assert body.attributes == {"shift": "night", "attempt": 3, "automatic": True, "score": 0.5}


@pytest.mark.parametrize(
    ("value", "severity", "kept"),
    [
        (1, 1, {}),
        (5.0, 5, {}),
        ("3", 3, {}),
        (None, 1, {}),
        (0, 1, {"severity": 0}),
        (9, 5, {"severity": 9}),
        ("-2", 1, {"severity": "-2"}),
        (2.5, 2, {"severity": 2.5}),
        (float("inf"), 5, {"severity": "Infinity"}),
        ("high", 4, {"severity_label": "high"}),
        ("Critical ", 5, {"severity_label": "Critical "}),
        ("terrible", 1, {"severity_label": "terrible"}),
        ("", 1, {"severity": ""}),
        (True, 1, {"severity": True}),
    ],
)
def test_severity(value: object, severity: int, kept: dict[str, object]) -> None:
    """What is no integer from 1 to 5 gets the nearest meaning, and stays readable as an attribute."""
    result = converted(severity=value)
    assert result.body.severity == severity
    assert result.body.attributes == kept
    assert len(result.changes) == len(kept)


@pytest.mark.parametrize(
    ("value", "ip", "kept"),
    [
        (" 10.1.2.3 ", "10.1.2.3", {}),
        ("::FFFF:10.1.2.3", "10.1.2.3", {}),
        ("2001:DB8:0::7", "2001:db8::7", {}),
        (None, None, {}),
        ("", None, {"ip": ""}),
        ("unknown", None, {"ip": "unknown"}),
        ("10.0.0.1:443", None, {"ip": "10.0.0.1:443"}),
        (167772161, None, {"ip": 167772161}),
    ],
)
def test_ip(value: object, ip: str | None, kept: dict[str, object]) -> None:
    """An address is normalised; anything else is no address and an attribute."""
    result = converted(ip=value)
    assert result.body.ip == ip
    assert result.body.attributes == kept


@pytest.mark.parametrize(
    ("value", "user", "kept"),
    [
        ("u" * 256, "u" * 256, {}),
        (42, "42", {}),
        (None, None, {}),
        ("", None, {"user": ""}),
        ("u" * 257, None, {"user": "u" * 257}),
        (True, None, {"user": True}),
    ],
)
def test_user(value: object, user: str | None, kept: dict[str, object]) -> None:
    """A user that the field cannot hold is an attribute; so is an empty one."""
    result = converted(user=value)
    assert result.body.user == user
    assert result.body.attributes == kept


@pytest.mark.parametrize(
    ("value", "moment", "kept"),
    [
        ("2025-03-01T12:00:00+02:00", DAY, False),
        ("2025-03-01T10:00:00.0009Z", DAY, False),
        ("2025-03-01T10:00:00", DAY, True),
        ("20250301T100000", DAY, True),
        ("2025-03-01", datetime(2025, 3, 1, tzinfo=UTC), True),
        ("20250301", datetime(2025, 3, 1, tzinfo=UTC), True),
        (1740823200, DAY, True),
        (1740823200.0, DAY, True),
        (1740823200000, DAY, True),
        (1740823200000000, DAY, True),
        (1740823200000000000, DAY, True),
        ("1740823200", DAY, True),
        ("yesterday", None, True),
        ("", None, True),
        (float("nan"), None, True),
        (1e300, None, True),
        ("0001-01-01T00:00:00+23:00", None, True),
        (None, None, False),
    ],
)
def test_timestamp(value: object, moment: datetime | None, kept: bool) -> None:
    """Every spelling of a time is read; one that had to be interpreted, or is none, stays as an attribute too."""
    result = converted(timestamp=value)
    assert result.body.occurred_at == moment
    assert ("timestamp" in result.body.attributes) == kept
    assert bool(result.changes) == (kept or value is None)


def test_a_time_without_an_offset_is_of_the_zone_that_was_chosen() -> None:
    """The operator says where the old service's clock stood, summer time included."""
    item = OldItem("i", "text", PLAIN | {"timestamp": "2025-07-01T12:00:00"})
    result = convert(item, Choices(zone=ZoneInfo("Europe/Athens")))
    assert result.body.occurred_at == datetime(2025, 7, 1, 9, tzinfo=UTC)
    assert any("Europe/Athens" in one for one in result.changes)


@pytest.mark.parametrize("old", ["odd one!", "seq-7", "ä", "x" * 129, "a b", "\n"])
def test_an_id_that_is_not_allowed_is_mapped_and_kept(old: str) -> None:
    """The derived id is legal and the same every time; the old one can still be read."""
    result = converted(item_id=old)
    assert result.id == event_id(old) != old
    assert result.id.startswith("imported-")
    assert result.body.attributes["old_id"] == old
    assert event_id(old + "x") != event_id(old)


def test_a_rule_keeps_what_people_wrote_first() -> None:
    """The refined text is what is embedded; original text, category and the word for its severity are attributes."""
    result = converted(
        "block after five", original_text="block plz", refined_text="block after five", category="auth", severity="low"
    )
    assert result.body.text == "block after five"
    assert result.kind == "auth"
    assert result.body.severity == 2
    assert result.body.attributes == {"original_text": "block plz", "category": "auth", "severity_label": "low"}


def test_the_refined_text_goes_before_the_document() -> None:
    """Where both are there and differ, nothing of either is lost."""
    result = converted("the document", refined_text="refined")
    assert result.body.text == "refined"
    assert result.body.attributes == {"old_document": "the document"}


@pytest.mark.parametrize(
    ("metadata", "chosen", "kind"),
    [
        ({"kind": "auth.brute_force"}, None, "auth.brute_force"),
        ({"kind": "Not Legal", "category": "network"}, None, "network"),
        ({"category": "Network Policy"}, None, "imported"),
        ({"category": 7}, None, "imported"),
        ({"kind": "auth", "category": "network"}, "old.items", "old.items"),
    ],
)
def test_kind(metadata: dict[str, Any], chosen: str | None, kind: str) -> None:
    """The operator's choice, else the item's own kind or category where legal; both stay attributes."""
    result = convert(OldItem("i", "text", PLAIN | metadata), Choices(kind=chosen))
    assert result.kind == kind
    assert result.body.attributes == metadata


@pytest.mark.parametrize(
    ("document", "metadata", "text"),
    [
        (None, {}, NO_TEXT),
        (" \n", {}, NO_TEXT),
        ("", {"original_text": "as written"}, "as written"),
        (None, {"original_text": " ", "reasoning": "because"}, "because"),
    ],
)
def test_a_missing_text_is_stood_for(document: str | None, metadata: dict[str, Any], text: str) -> None:
    """An item without a text is kept, and the report names it."""
    result = converted(document, **metadata)
    assert result.body.text == text
    assert any("text is missing" in one for one in result.changes)


def test_a_long_text_is_kept_whole() -> None:
    """Its beginning is embedded, its rest is an attribute; together they are the text."""
    text = "word " * 10_000 + "end"
    result = converted(text)
    rest = result.body.attributes["text_rest"]
    assert isinstance(rest, str)
    assert result.body.text + rest == text
    assert len(result.body.text) <= MAX_TEXT_CHARS


def test_what_is_too_large_for_the_log_is_cut_where_it_is_longest() -> None:
    """Short attributes stay, the long one ends with a mark, and the report names it."""
    result = converted("a" * 600_000, note="short", extra="b" * 1000)
    assert len(result.data) <= Choices().max_bytes
    assert result.body.attributes["note"] == "short"
    assert result.body.attributes["extra"] == "b" * 1000
    assert str(result.body.attributes["text_rest"]).endswith("a [cut]")
    assert any("too large" in one for one in result.changes)


def test_what_fits_in_no_way_is_refused() -> None:
    """A server that takes only tiny messages gets no torn event: the item is named as not convertible."""
    with pytest.raises(NotConvertible, match="at most 100 fit"):
        convert(OldItem("i", "a" * 500, {"note": "n" * 500}), dataclasses.replace(Choices(), max_bytes=100))


def test_odd_keys_are_renamed_and_their_names_kept() -> None:
    """Two odd keys that look alike stay two, also beside a key that the import itself uses."""
    own = {"weird key": 1, "weird\tkey": 2, "": 3, "k" * 65: 4, "old_id": 5, "fine": 6}
    result = convert(OldItem("i", "text", PLAIN | own), Choices())
    names = json.loads(str(result.body.attributes["old_keys"]))
    values = {names.get(key, key): value for key, value in result.body.attributes.items() if key != "old_keys"}
    assert values == own


@pytest.mark.parametrize(("count", "kept"), [(64, 64), (65, 63), (200, 63)])
def test_more_keys_than_an_event_may_have(count: int, kept: int) -> None:
    """As many as fit stay attributes; the others are one attribute more, and nothing is lost."""
    own = {f"key{number:03}": number for number in range(count)}
    result = convert(OldItem("i", "text", PLAIN | own), Choices())
    attributes = dict(result.body.attributes)
    more = json.loads(str(attributes.pop("old_more", "{}")))
    assert len(attributes) == kept
    assert attributes | more == own


def test_the_order_of_the_keys_does_not_matter() -> None:
    """The store gives metadata in another order each time; the bytes stay the same."""
    metadata = PLAIN | {f"key {number}": number for number in range(80)}
    items = [OldItem("i", "text", dict(order)) for order in (metadata.items(), reversed(metadata.items()))]
    first, second = (convert(item, Choices()).data for item in items)
    assert first == second


any_text = st.text(st.characters())
"""Lone surrogates included."""
anything = any_text | st.integers() | st.floats() | st.booleans() | st.none() | st.lists(st.integers() | any_text)
keys = st.sampled_from(["user", "ip", "severity", "timestamp", "refined_text", "original_text", "kind", "old_id"])


@given(
    item=st.builds(
        OldItem,
        id=st.text(st.characters(), min_size=1),
        document=st.none() | any_text,
        metadata=st.dictionaries(keys | any_text, anything, max_size=90),
    )
)
def test_every_item_becomes_an_event_that_the_indexer_reads(item: OldItem) -> None:
    """Whatever an old item holds: the event decodes, is what it was made from, and is the same the next time."""
    result = convert(item, Choices())
    assert decode_event(result.data) == result.body
    assert result.body.id == result.id == event_id(item.id)
    assert len(result.data) < MAX_LOG_MESSAGE_BYTES
    assert is_kind(result.kind)
    assert convert(item, Choices()).data == result.data
    if result.id != item.id:
        assert result.body.attributes["old_id"] == item.id.encode("utf-8", "replace").decode()
