"""Field types: what they take, and the one spelling they make of it."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from precedent_schemas import fields
from precedent_schemas.events import SecurityEvent

TIMES = {
    "2026-01-31T12:00:00Z": "2026-01-31T12:00:00.000Z",
    "2026-01-31t12:00:00z": "2026-01-31T12:00:00.000Z",
    "2026-01-31 12:00:00Z": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00.1Z": "2026-01-31T12:00:00.100Z",
    "2026-01-31T12:00:00.123Z": "2026-01-31T12:00:00.123Z",
    "2026-01-31T12:00:00.123999999Z": "2026-01-31T12:00:00.123Z",
    "2026-01-31T12:00:00.0009Z": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00+00:00": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00-00:00": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00+05:30": "2026-01-31T06:30:00.000Z",
    "2026-01-31T12:00:00+0530": "2026-01-31T06:30:00.000Z",
    "2026-01-31T12:00:00+0000": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00+00": "2026-01-31T12:00:00.000Z",
    "2026-01-31T12:00:00-08": "2026-01-31T20:00:00.000Z",
    "2026-01-31T23:30:00-08:00": "2026-02-01T07:30:00.000Z",
    "2026-01-01T00:00:00+23:59": "2025-12-31T00:01:00.000Z",
    "2016-12-31T23:59:60Z": "2017-01-01T00:00:00.000Z",
    "2016-12-31T15:59:60.5-08:00": "2017-01-01T00:00:00.500Z",
    "2024-02-29T00:00:00Z": "2024-02-29T00:00:00.000Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00.000Z",
    "1969-12-31T23:59:59.999Z": "1969-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999Z": "9999-12-31T23:59:59.999Z",
}


@pytest.mark.parametrize(("given", "kept"), TIMES.items())
def test_times(given: str, kept: str) -> None:
    """RFC 3339 with an offset becomes UTC, cut (never rounded) to the millisecond; a leap second is the next second."""
    assert fields.format_time(fields.parse_time(given)) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        "2026-01-31T12:00:00",
        "2026-01-31T12:00:00 Z",
        "2026-01-31T12:00:00+010",
        "2026-01-31T12:00:00+1",
        "2026-01-31T12:00:00+2400",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00,5Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "10000-01-01T00:00:00Z",
        "-2026-01-31T12:00:00Z",
        "26-01-31T12:00:00Z",
        "2026-01-31",
        "2026-W05-6T12:00:00Z",
        "2026-01-31T12:00:00Z\n",
        " 2026-01-31T12:00:00Z",
        "\u0662026-01-31T12:00:00Z",
        "yesterday",
        "",
        1_700_000_000,
        1.5,
        True,
        None,
    ],
)
def test_no_times(wrong: object) -> None:
    """Without an offset, outside of the years 1 to 9999, no real date, or no RFC 3339 at all: refused."""
    with pytest.raises(ValueError, match=r"RFC 3339|years 1 to 9999|offset"):
        fields.parse_time(wrong)


def test_moments_of_python() -> None:
    """A publisher may give a datetime with any tzinfo; it is kept like a time on the wire."""
    moment = datetime(2026, 1, 31, 12, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=2)))
    assert fields.parse_time(moment) == datetime(2026, 1, 31, 10, 0, 0, 123_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 31),  # noqa: DTZ001 -- the missing tzinfo is the claim
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
)
def test_moments_of_python_that_are_none(moment: datetime) -> None:
    """A naive datetime, or one that leaves the calendar in UTC, is a validation error like any other."""
    with pytest.raises(ValidationError, match=r"offset|years 1 to 9999"):
        SecurityEvent(text="a", kind="a", occurred_at=moment)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("::", "::"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("::FFFF:102:304", "1.2.3.4"),
        ("0:0:0:0:0:ffff:1.2.3.4", "1.2.3.4"),
        ("::1.2.3.4", "::102:304"),
        ("64:ff9b::1.2.3.4", "64:ff9b::102:304"),
    ],
)
def test_addresses(given: str, kept: str) -> None:
    """Every spelling of an address becomes one, and an IPv4-mapped address is the IPv4 address."""
    assert fields.normalise_ip(given) == kept
    assert fields.normalise_ip(kept) == kept


@pytest.mark.parametrize(
    "wrong",
    ["", "1.2.3", "1.2.3.256", "1.2.3.04", "1.2.3.4/32", "1.2.3.4:80", "[::1]", "::1::", "fe80::1%eth0", "fe80::1%25",
     " 1.2.3.4", "1.2.3.4\n", "\u0661.2.3.4", "localhost", "16909060"],
)  # fmt: skip
def test_no_addresses(wrong: str) -> None:
    """Scopes, ports, networks, names, leading zeros and blanks are refused."""
    with pytest.raises(ValueError, match="address"):
        fields.normalise_ip(wrong)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("203.0.113.77/24", "203.0.113.0/24"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::1/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_networks(given: str, kept: str) -> None:
    """Host bits are ignored, an address is the network of itself alone, and there is one spelling."""
    assert fields.normalise_network(given) == kept


@pytest.mark.parametrize(
    "wrong",
    ["", "/", "/24", "203.0.113.0/", "203.0.113.0/33", "203.0.113.0/-1", "203.0.113.0/255.255.255.0", "2001:db8::/129",
     "203.0.113/24", "fe80::%eth0/64", "203.0.113.0/24/24", "203.0.113.0/\u0662", "any"],
)  # fmt: skip
def test_no_networks(wrong: str) -> None:
    """Netmasks, prefixes beyond the width, scopes and half addresses are refused."""
    with pytest.raises(ValueError, match="network"):
        fields.normalise_network(wrong)


def _takes(field: Any, value: object) -> bool:
    try:
        TypeAdapter(field).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", ["a", "a" * 128, "A-Za-z0-9._:@/+=-", "-", "Seq-1", "seq", "aseq-1", "0"])
def test_ids(name: str) -> None:
    """1 to 128 of the allowed characters, for a publisher and for the index."""
    assert _takes(fields.EventId, name)
    assert _takes(fields.StoredId, name)


@pytest.mark.parametrize("name", ["", "a" * 129, "a b", "a\n", "\na", "a\x00", "é", "a*", "a>", "a,b", 1, None, b"a"])
def test_no_ids(name: object) -> None:
    """129 characters, other characters and a trailing newline are refused everywhere."""
    assert not _takes(fields.EventId, name)
    assert not _takes(fields.StoredId, name)


@pytest.mark.parametrize("name", ["seq-", "seq-1", "seq-x"])
def test_ids_of_the_log(name: str) -> None:
    """Ids that begin with `seq-` are the log's: a publisher may not give them, a question may name them."""
    assert not _takes(fields.EventId, name)
    assert _takes(fields.StoredId, name)


@pytest.mark.parametrize(
    ("name", "legal"), [("ab", False), ("abc", True), ("a" * 63, True), ("a" * 64, False), ("abc\n", False)]
)
def test_collections(name: str, legal: bool) -> None:
    """3 to 63 characters; the field and the subject agree."""
    assert _takes(fields.Collection, name) is legal


@pytest.mark.parametrize(
    ("kind", "legal"),
    [("auth", True), ("a.b.c.d", True), ("a.b.c.d.e", False), ("a.", False), ("A", False), ("", False), ("a\n", False)],
)
def test_kinds(kind: str, legal: bool) -> None:
    """One to four tokens; the field and the subject agree."""
    assert _takes(fields.Kind, kind) is legal


@pytest.mark.parametrize(
    ("label", "legal"), [("", False), ("a", True), ("é" * 256, True), ("a" * 257, False), (1, False)]
)
def test_labels(label: object, legal: bool) -> None:
    """1 to 256 characters, counted as characters and not as bytes."""
    assert _takes(fields.Label, label) is legal


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"a": "", "b": "x" * 10_000, "c": 0, "d": -0.0, "e": True},
        {"min": -(2**63), "max": 2**63 - 1},
        {"list": [], "strings": ["a", "b"], "numbers": [1, 2.5], "booleans": [True, False]},
        {"k" * 64: 1, "A-Za.z_0": 1},
        {f"k{n}": n for n in range(64)},
    ],
)
def test_attributes(attributes: dict[str, Any]) -> None:
    """Flat data of strings, numbers, booleans and lists of one of these is kept as given."""
    kept = TypeAdapter(fields.Attributes).validate_python(attributes)
    assert kept == attributes
    assert all(type(kept[key]) is type(attributes[key]) for key in attributes)


@pytest.mark.parametrize(
    "attributes",
    [
        {"a": {}},
        {"a": [[1]]},
        {"a": [{}]},
        {"a": [None]},
        {"a": [1, "b"]},
        {"a": [1, True]},
        {"a": 2**63},
        {"a": -(2**63) - 1},
        {"a": [2**63]},
        {"a": math.nan},
        {"a": [math.inf]},
        {"a": "\ud800"},
        {"a": ["x\udfff"]},
        {"": 1},
        {"k" * 65: 1},
        {"a b": 1},
        {"a\n": 1},
        {"é": 1},
        {1: 1},
        {f"k{n}": n for n in range(65)},
        [],
        "a",
        {"a": b"bytes"},
    ],
)
def test_no_attributes(attributes: object) -> None:
    """Nesting, nulls, mixed lists, integers beyond 64 bit, NaN, lone surrogates, illegal or 65 keys are refused."""
    assert not _takes(fields.Attributes, attributes)
