"""Odd old data: every call works, and what was given comes back."""

import asyncio
import enum
import ipaddress
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from precedent_backend_adapter import StoredEvent
from precedent_backend_adapter.compat import SimpleRAG
from precedent_backend_adapter.testing import InMemoryPrecedent

ARGUMENTS = ("user", "ip", "severity", "timestamp")

# Every code point, lone surrogates too.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
LONG_TEXT = st.builds(lambda piece, times: piece * times, ANY_TEXT, st.integers(1_000, 4_000))
SCALARS = st.one_of(ANY_TEXT, st.integers(), st.integers(-(2**80), 2**80), st.floats(), st.booleans())
VALUES = st.one_of(SCALARS, st.none(), st.lists(SCALARS, max_size=3), st.dictionaries(ANY_TEXT, SCALARS, max_size=2))
KEYS = st.one_of(
    st.text("abcXYZ_.-09", min_size=1, max_size=70),
    ANY_TEXT,
    st.integers(0, 9),
    st.sampled_from([*ARGUMENTS, "text", "compat.rest", "1"]),
)
USERS = st.one_of(ANY_TEXT, st.sampled_from(["admin", "", "u" * 300]), st.integers())
IPS = st.one_of(
    ANY_TEXT,
    st.ip_addresses().map(str),
    st.sampled_from(["", "unknown", "::FFFF:1.2.3.4", "2001:DB8::1", "10.0.0.1/8", "fe80::1%eth0"]),
)
SEVERITIES = st.one_of(st.integers(-3, 9), SCALARS, st.sampled_from(["high", "Critical", "3", "", True, 4.5]))


def both(
    text: str, user: object, ip: object, severity: object, metadata: Mapping[Any, Any] | None
) -> tuple[dict[str, Any], StoredEvent]:
    """The item that one call makes, as the old client shows it, and its event in the log."""

    async def call() -> tuple[dict[str, Any], StoredEvent]:
        precedent = InMemoryPrecedent()
        client = SimpleRAG.over(precedent)
        item_id = await client.add_item(text, user, ip, severity, metadata)  # type: ignore[arg-type]
        (listed,) = await client.get_all_items()
        (found,) = await client.query_items(text)
        assert listed == {"id": item_id, "text": found["text"], "metadata": listed["metadata"]}
        assert same(found["metadata"], listed["metadata"])
        assert (await precedent.stats()).dead_letters == 0
        return dict(found), (await precedent.get([item_id])).events[0].event

    return asyncio.run(call())


def same(one: object, other: object) -> bool:
    """Equal in type and value; NaN is NaN, and 1 is neither 1.0 nor True."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and one == other


def as_of_old(metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """What the old service made of a caller's own keys."""
    return {
        str(key): value if isinstance(value, str | int | float) else str(value)
        for key, value in metadata.items()
        if value is not None and key not in ARGUMENTS
    }


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(ANY_TEXT, LONG_TEXT),
    user=USERS,
    ip=IPS,
    severity=SEVERITIES,
    metadata=st.one_of(st.none(), st.dictionaries(KEYS, VALUES, max_size=8)),
)
@example(text="", user="", ip="", severity=0, metadata={})
@example(text="\ud83d\ude00", user="\ud83d\ude00", ip="\ud800", severity="\udc00", metadata={"\ud83d\ude00": "\udfff"})
@example(text="(no text)", user="u", ip="::1", severity=1, metadata={"compat.rest": '{"text":"x"}'})
@example(text=" (no text)", user="u", ip="::1", severity=-0.0, metadata={"compat.rest": "zlib;base64,AAAA"})
@example(text="x" * 32_767 + " y", user="u", ip="::1", severity=math.inf, metadata={"a": math.nan, "b": 2**63})
def test_what_was_given_comes_back(
    text: str, user: object, ip: object, severity: object, metadata: dict[Any, Any] | None
) -> None:
    """Whatever the values, the call works and `text` and `metadata` show them again, of the same type."""
    item, event = both(text, user, ip, severity, metadata)
    shown = item["metadata"]
    shown.pop("timestamp")
    assert item["text"] == text
    assert same(shown, as_of_old(metadata or {}) | {"user": user, "ip": ip, "severity": severity})
    assert 1 <= event.severity <= 5
    assert len(event.attributes) <= 64


@settings(max_examples=25, deadline=None)
@given(st.integers(55, 80), st.booleans())
def test_any_number_of_keys_is_kept(count: int, odd: bool) -> None:
    """At and around the limit of 64, with and without odd values beside them."""
    metadata = {f"key-{number}": number for number in range(count)}
    user, ip, severity = ("", "nowhere", 0) if odd else ("u", "10.0.0.1", 1)
    item, event = both("x", user, ip, severity, metadata)
    item["metadata"].pop("timestamp")
    assert item["metadata"] == metadata | {"user": user, "ip": ip, "severity": severity}
    assert len(event.attributes) == min(count + (3 if odd else 0), 64)
    assert ("compat.rest" in event.attributes) == (count + (3 if odd else 0) > 64)


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        (0, 1),
        (9, 5),
        (-(2**70), 1),
        (10**400, 5),
        (3.6, 4),
        (True, 1),
        ("4", 4),
        ("1e999", 5),
        ("high", 4),
        (" CRITICAL ", 5),
        ("medium", 3),
        ("urgent", 1),
        ("nan", 1),
        (math.nan, 1),
        (-math.inf, 1),
        (None, 1),
    ],
)
def test_the_event_has_the_nearest_severity(severity: object, level: int) -> None:
    """Numbers are brought to 1 to 5, words are understood, and the rest counts as the lowest."""
    item, event = both("x", "u", "10.0.0.1", severity, None)
    assert event.severity == level
    assert same(item["metadata"]["severity"], 1 if severity is None else severity)


@pytest.mark.parametrize(
    ("ip", "field", "attribute"),
    [
        ("10.0.0.1", "10.0.0.1", None),
        ("::FFFF:1.2.3.4", "1.2.3.4", "::FFFF:1.2.3.4"),
        ("printer-7", None, "printer-7"),
        ("", None, ""),
    ],
)
def test_an_address_in_any_spelling_can_be_filtered_by(ip: str, field: str | None, attribute: str | None) -> None:
    """What is an address is the event's, normalised; what was written is beside it where it differs."""
    item, event = both("x", "u", ip, 1, None)
    assert (event.ip, event.attributes.get("ip")) == (field, attribute)
    assert item["metadata"]["ip"] == ip


def test_only_the_beginning_of_an_over_long_text_is_embedded() -> None:
    """The event's text has what the log allows; the rest is kept apart and shown with it."""
    text = "  " + "brute force " * 5_000
    item, event = both(text, "u", "10.0.0.1", 1, None)
    assert text.startswith("  " + event.text)
    assert 32_000 < len(event.text) <= 32_768
    assert item["text"] == text


def test_an_empty_text_is_an_item_too() -> None:
    """It has a stand-in for the index and is shown empty."""
    item, event = both(" \n", "u", "10.0.0.1", 1, None)
    assert (event.text, item["text"]) == ("(no text)", " \n")


def test_what_an_argument_hides_is_in_the_log_all_the_same() -> None:
    """Own keys of an argument's name are not shown, as of old, and not thrown away either."""
    item, event = both("x", "admin", "10.0.0.1", 1, {"user": "bob", "timestamp": "then", 1: "a", "1": "b"})
    assert item["metadata"]["user"] == "admin"
    assert item["metadata"]["1"] == "b"
    assert event.attributes["compat.rest"] == '{"shadowed":[["user","bob"],["timestamp","then"],["1","a"]]}'


def test_values_that_are_nearly_scalars_are_the_scalars_that_they_are() -> None:
    """Enumerations have their value, other objects what `str` makes of them, None is absent."""

    class Level(enum.IntEnum):
        HIGH = 4

    class Name(str, enum.Enum):  # noqa: UP042 -- what old code has
        BOB = "bob"

    address = ipaddress.ip_address("10.0.0.1")
    item, event = both("x", Name.BOB, address, Level.HIGH, {"a": Name.BOB, "b": Level.HIGH, "c": address, "d": None})
    item["metadata"].pop("timestamp")
    wanted = {"user": "bob", "ip": "10.0.0.1", "severity": 4, "a": "bob", "b": 4, "c": "10.0.0.1"}
    assert same(item["metadata"], wanted)
    assert (event.user, event.ip, event.severity) == ("bob", "10.0.0.1", 4)


def test_arguments_that_are_none_are_absent() -> None:
    """They are shown as nothing, of the usual types."""
    item, event = both("x", None, None, None, None)
    item["metadata"].pop("timestamp")
    assert item["metadata"] == {"user": "", "ip": "", "severity": 1}
    assert event.attributes == {}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "[]",
        "{",
        '{"unknown":1}',
        '{"text":[1,2]}',
        '{"text":["a"]}',
        '{"fields":[]}',
        '{"more":{"a":[]}}',
        "zlib;base64,!",
        "zlib;base64,AAAA",
        "[" * 100_000,
    ],
)
def test_an_attribute_of_that_name_that_is_not_ours_is_anybodys(value: str) -> None:
    """Another publisher's `compat.rest` cannot break a listing: it is shown as any key."""

    async def listed() -> dict[str, Any]:
        precedent = InMemoryPrecedent()
        body = '{"text":"x","attributes":{"compat.rest":%s}}'
        quoted = '"' + value.replace('"', '\\"') + '"'
        precedent.publish_raw("security.events.v1.incidents.auth", (body % quoted).encode())
        (item,) = await SimpleRAG.over(precedent).get_all_items()
        return item["metadata"]

    assert asyncio.run(listed())["compat.rest"] == value


@settings(max_examples=50, deadline=None)
@given(st.one_of(ANY_TEXT, LONG_TEXT), ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT)
def test_odd_rules_come_back_too(refined: str, original: str, category: str, severity: str, timestamp: str) -> None:
    """Whatever the strings, a rule is shown as it was given, and found by any query."""

    async def call() -> dict[str, Any]:
        client = SimpleRAG.over(InMemoryPrecedent())
        await client.add_rule(original, refined, category, severity, timestamp=timestamp)
        (rule,) = await client.get_rules()
        (found,) = await client.query_rules(refined)
        assert found["similarity_score"] == pytest.approx(1.0)
        return dict(rule)

    rule = asyncio.run(call())
    del rule["id"]
    assert rule == {
        "original_text": original,
        "refined_text": refined,
        "category": category,
        "severity": severity,
        "timestamp": timestamp,
    }
