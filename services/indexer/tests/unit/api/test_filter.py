"""What each part of a filter lets pass."""

import sys
import unicodedata
from datetime import timedelta
from typing import Any

import pytest

from fakes.making import START, decided, row
from precedent_indexer.api import filter as filters
from precedent_indexer.api.filter import compile_filter
from precedent_schemas.questions import Filter


def passes(wanted: dict[str, Any], **fields: Any) -> bool:
    """Whether a row whose event has these fields passes the filter."""
    compiled = compile_filter(Filter.model_validate(wanted))
    return compiled is None or compiled.matches(row(**fields))


@pytest.mark.parametrize(
    ("wanted", "fields", "expected"),
    [
        ({"kinds": ["auth"]}, {"kind": "auth.brute_force"}, True),
        ({"kinds": ["auth.brute_force"]}, {"kind": "auth.brute_force"}, True),
        ({"kinds": ["auth.brute_force"]}, {"kind": "auth"}, False),
        ({"kinds": ["auth"]}, {"kind": "authz.denied"}, False),
        ({"kinds": ["brute_force"]}, {"kind": "auth.brute_force"}, False),
        ({"kinds": ["net", "auth"]}, {"kind": "auth"}, True),
        ({"severity": {"min": 3}}, {"severity": 3}, True),
        ({"severity": {"min": 4}}, {"severity": 3}, False),
        ({"severity": {"max": 3}}, {"severity": 3}, True),
        ({"severity": {"max": 2}}, {"severity": 3}, False),
        ({"severity": {"min": 4, "max": 2}}, {"severity": 3}, False),
        ({"severity": {}}, {"severity": 3}, True),
        ({"sources": ["sshd", "vpn"]}, {"source": "vpn"}, True),
        ({"sources": ["sshd"]}, {"source": "SSHD"}, False),
        ({"sources": ["sshd"]}, {}, False),
        ({"users": ["admin"]}, {"user": "admin"}, True),
        ({"users": ["admin"]}, {}, False),
        ({"ips": ["::ffff:10.0.0.1"]}, {"ip": "10.0.0.1"}, True),
        ({"ips": ["2001:DB8:0::1"]}, {"ip": "2001:db8::1"}, True),
        ({"ips": ["10.0.0.1"]}, {}, False),
        ({"verdicts": ["benign"]}, {"record": decided()}, True),
        ({"verdicts": ["unknown"]}, {"record": decided()}, False),
        ({"verdicts": ["unknown"]}, {}, False),
        ({"exclude_ids": ["e1"]}, {}, False),
        ({"exclude_ids": ["e2"]}, {}, True),
        ({"exclude_ids": []}, {}, True),
        ({"users": ["admin"], "severity": {"min": 3}}, {"user": "admin", "severity": 2}, False),
    ],
)
def test_plain_parts(wanted: dict[str, Any], fields: dict[str, Any], expected: bool) -> None:
    """Kinds take in those below; ranges take in both ends; lists are alternatives; parts are joined by AND."""
    assert passes(wanted, **fields) is expected


@pytest.mark.parametrize(
    ("network", "ip", "expected"),
    [
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7/32", "10.0.0.8", False),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("0.0.0.0/0", "::1", False),
        ("::/0", "10.0.0.1", False),
        ("::/0", "2001:db8::1", True),
        ("::ffff:0:0/96", "10.0.0.1", False),
        ("2001:db8::/32", "2001:db8:ffff::1", True),
        ("2001:db8::/64", "2001:db8:0:1::", False),
        ("2001:db8::ff00/120", "2001:db8::ffff", True),
        ("2001:db8::ff00/120", "2001:db8:0:1::ff01", False),
        ("2001:db8::1/128", "2001:db8::1", True),
        ("10.0.0.0/8", "::ffff:10.0.0.1", True),
    ],
)
def test_networks(network: str, ip: str, expected: bool) -> None:
    """CIDR decides, host bits are ignored, mapped addresses are IPv4, and neither family matches the other."""
    assert passes({"networks": [network]}, ip=ip) is expected
    assert passes({"networks": ["192.0.2.1", network]}, ip=ip) is expected


@pytest.mark.parametrize(
    ("held", "asked", "expected"),
    [
        (1, 1.0, True),
        (1.0, 1, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (False, 0, False),
        ("1", 1, False),
        ("true", True, False),
        (0, -0.0, True),
        (2**53 + 1, float(2**53), False),
        (2**63 - 1, 2**63 - 1, True),
        (0.1, 0.1, True),
        ("x" * 200, "x" * 200, True),
        ("x" * 200, "x" * 199 + "y", False),
        (["a", "b"], "b", True),
        (["a", "b"], ["c", "a"], True),
        (["a", "b"], "ab", False),
        ([1, 2], 2.0, True),
        ([], "a", False),
        ("a", ["b", "a", 1], True),
    ],
)
def test_attributes(held: Any, asked: Any, expected: bool) -> None:
    """1 equals 1.0, true is no number, a stored list holds each of its values, and lists asked for are alternatives."""
    assert passes({"attributes": {"key": asked}}, attributes={"key": held}) is expected
    assert not passes({"attributes": {"other": asked}}, attributes={"key": held})


def test_every_attribute_asked_for_must_hold() -> None:
    """Several keys are joined by AND."""
    assert passes({"attributes": {"a": 1, "b": 2}}, attributes={"a": 1, "b": 2, "c": 3})
    assert not passes({"attributes": {"a": 1, "b": 3}}, attributes={"a": 1, "b": 2})


def test_times_are_half_open() -> None:
    """`after` is in, `before` is out, to the millisecond and whatever the offset."""
    at = "2026-01-31T13:00:00+01:00"
    assert passes({"occurred_at": {"after": at}}, occurred_at=START)
    assert not passes({"occurred_at": {"before": at}}, occurred_at=START)
    assert passes({"occurred_at": {"before": at}}, occurred_at=START - timedelta(milliseconds=1))
    assert not passes({"occurred_at": {"after": at}}, occurred_at=START - timedelta(milliseconds=1))
    assert not passes({"occurred_at": {"after": at, "before": at}}, occurred_at=START)


@pytest.mark.parametrize("nothing", [None, Filter(), Filter.model_validate({"severity": {}, "exclude_ids": []})])
def test_what_asks_for_nothing_compiles_to_nothing(nothing: Filter | None) -> None:
    """A filter without a part that could fail lets everything pass, without a look at each row."""
    assert compile_filter(nothing) is None


@pytest.mark.parametrize(
    ("wanted", "fields", "expected"),
    [
        ({"users": ["jos\u00e9"]}, {"user": "jose\u0301"}, True),
        ({"users": ["jose\u0301"]}, {"user": "jos\u00e9"}, True),
        ({"sources": ["\u212a"]}, {"source": "K"}, True),
        ({"users": ["admin"]}, {"user": "\u0430dmin"}, False),
        ({"users": ["root"]}, {"user": "ro\u200bot"}, False),
        ({"attributes": {"a": "e\u0301"}}, {"attributes": {"a": ["x", "\u00e9"]}}, True),
        ({"contains": "caf\u00e9"}, {"text": "cafe\u0301"}, True),
        ({"contains": "cafe"}, {"text": "cafe\u0301"}, True),
    ],
)
def test_texts_match_however_they_were_typed(wanted: dict[str, Any], fields: dict[str, Any], expected: bool) -> None:
    """Composed and decomposed characters are the same; what only looks alike, or hides, is not."""
    assert passes(wanted, **fields) is expected


def test_the_store_is_asked_for_nothing_that_a_normal_form_may_change() -> None:
    """Of a needle, the store searches the longest piece that stands in every text that has the needle in any form."""
    where = {
        "failed logins": "failed logins",
        "caf\u00e9 noir": " noir",
        "cafe\u0301 noir": " noir",
        "Kerberos": "erberos",
        "50%_off; sale": " sale",
        "\u65e5\u672c\u8a9e": "\u65e5\u672c\u8a9e",
        "\u00e9\u00e9\u00e9": None,
    }
    for needle, piece in where.items():
        compiled = compile_filter(Filter(contains=needle))
        assert compiled is not None
        assert (compiled.where.contains if compiled.where else None) == piece, needle


def test_no_character_beyond_the_planes_looked_through_has_another_normal_form() -> None:
    """What `contains` knows of Unicode is all that this Python knows of it."""
    assert all(unicodedata.is_normalized("NFC", chr(code)) for code in range(filters._PLANES, sys.maxunicode + 1))
