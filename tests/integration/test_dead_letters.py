"""What cannot be indexed becomes a dead letter, whole, with its reason, and stops nothing behind it."""

import base64
import json
from typing import Any

import pytest

from harness.wire import Stored, Wire

SURROGATE = b'{"text": "x \\ud800"}'
DEEP = b'{"text": "x", "more": ' + b"[" * 40 + b"]" * 40 + b"}"
MANY = {f"k{number}": number for number in range(65)}

# Name, payload, reason, and what the detail must mention.
EVENTS: list[tuple[str, Any, str, str]] = [
    ("no JSON", b"not json", "malformed", ""),
    ("cut short", b'{"text": "x"', "malformed", ""),
    ("an array", b'["text"]', "malformed", "object"),
    ("a string", b'"text"', "malformed", "object"),
    ("a key twice", b'{"text": "x", "text": "y"}', "malformed", "text"),
    ("a deep key twice", b'{"text": "x", "attributes": {"a": 1, "a": 2}}', "malformed", "a"),
    ("NaN", b'{"text": "x", "attributes": {"a": NaN}}', "malformed", "NaN"),
    ("an infinity", b'{"text": "x", "attributes": {"a": -Infinity}}', "malformed", "Infinity"),
    ("an infinity by exponent", b'{"text": "x", "attributes": {"a": 1e999}}', "malformed", "1e999"),
    ("no UTF-8", b'{"text": "\xff"}', "malformed", "UTF-8"),
    ("a lone surrogate", SURROGATE, "malformed", "surrogate"),
    ("too deep", DEEP, "malformed", "deeper"),
    ("endless digits", b'{"text": "x", "attributes": {"a": ' + b"9" * 5000 + b"}}", "malformed", "digits"),
    ("no payload", b"", "malformed", ""),
    ("no text", {"id": "a"}, "invalid", "text"),
    ("text of null", {"text": None}, "invalid", "text"),
    ("text of a number", {"text": 5}, "invalid", "text"),
    ("empty text", {"text": ""}, "invalid", "text"),
    ("blank text", {"text": " \n\t "}, "invalid", "text"),
    ("a given seq- id", {"text": "x", "id": "seq-1"}, "invalid", "id"),
    ("an id with a blank", {"text": "x", "id": "a b"}, "invalid", "id"),
    ("an id of 129", {"text": "x", "id": "a" * 129}, "invalid", "id"),
    ("a numeric id", {"text": "x", "id": 7}, "invalid", "id"),
    ("a time without offset", {"text": "x", "occurred_at": "2026-01-31T12:00:00"}, "invalid", "occurred_at"),
    ("a time of seconds", {"text": "x", "occurred_at": 1769860800}, "invalid", "occurred_at"),
    ("severity 0", {"text": "x", "severity": 0}, "invalid", "severity"),
    ("severity 6", {"text": "x", "severity": 6}, "invalid", "severity"),
    ("severity in words", {"text": "x", "severity": "high"}, "invalid", "severity"),
    ("severity true", {"text": "x", "severity": True}, "invalid", "severity"),
    ("a source of two lines", {"text": "x", "source": "a\nb"}, "invalid", "source"),
    ("a user of 257", {"text": "x", "user": "u" * 257}, "invalid", "user"),
    ("no address", {"text": "x", "ip": "300.1.1.1"}, "invalid", "ip"),
    ("an address with a scope", {"text": "x", "ip": "fe80::1%eth0"}, "invalid", "ip"),
    ("nested attributes", {"text": "x", "attributes": {"a": {"b": 1}}}, "invalid", "attributes"),
    ("a mixed list", {"text": "x", "attributes": {"a": [1, "b"]}}, "invalid", "attributes"),
    ("65 attributes", {"text": "x", "attributes": MANY}, "invalid", "attributes"),
    ("an illegal key", {"text": "x", "attributes": {"a b": 1}}, "invalid", "attributes"),
    ("an integer of 65 bit", {"text": "x", "attributes": {"a": 2**63}}, "invalid", "attributes"),
    ("a text of 32,769", {"text": "x" * 32_769}, "too_large", "text"),
]


async def the_dead_letter(wire: Wire, collection: str, seq: int) -> Stored:
    """The one dead letter that became of `seq`, once the index has passed it."""
    await wire.covered(seq)
    letters = [one for one in await wire.dead_letters(collection) if one.headers["Precedent-Stream-Seq"] == str(seq)]
    assert len(letters) == 1
    return letters[0]


def original_headers(letter: Stored) -> Any:
    """The headers that the refused message had."""
    return json.loads(base64.b64decode(letter.headers["Precedent-Headers"], validate=True))


@pytest.mark.parametrize(("name", "payload", "reason", "mentioned"), EVENTS, ids=[case[0] for case in EVENTS])
async def test_a_bad_event_is_kept_whole_with_its_reason(
    wire: Wire, collection: str, name: str, payload: object, reason: str, mentioned: str
) -> None:
    """Subject, headers and bytes are as the contract says; both neighbours are indexed, and all is settled."""
    subject = f"security.events.v1.{collection}.auth.brute_force"
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    await wire.event(collection, "a good neighbour", id="before")
    seq = await wire.publish(subject, data)
    last = await wire.event(collection, "a good neighbour", id="after")
    letter = await the_dead_letter(wire, collection, seq)
    assert letter.subject == f"security.dead.v1.{collection}.{reason}"
    assert letter.data == data
    detail = letter.headers.pop("Precedent-Detail")
    assert mentioned in detail
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) <= 256
    assert original_headers(letter) == {}
    del letter.headers["Precedent-Headers"]
    assert letter.headers == {
        "Precedent-Reason": reason,
        "Precedent-Stream-Seq": str(seq),
        "Precedent-Subject": subject,
        "Precedent-Deliveries": "1",
        "Nats-Msg-Id": f"dead:{seq}",
    }
    await wire.covered(last)
    assert await wire.listed(collection) == ["before", "after"]
    await wire.all_settled()


@pytest.mark.parametrize(
    ("tail", "mentioned"),
    [
        ("", "kind"),
        (".Auth", "kind"),
        (".auth.brute force".replace(" ", "~"), "kind"),
        (".a.b.c.d.e", "kind"),
    ],
)
async def test_an_illegal_kind_is_invalid(wire: Wire, collection: str, tail: str, mentioned: str) -> None:
    """A subject of a legal collection without one to four legal tokens behind it is refused by name."""
    subject = f"security.events.v1.{collection}{tail}"
    letter = await the_dead_letter(wire, collection, await wire.publish(subject, {"text": "x"}))
    assert letter.subject == f"security.dead.v1.{collection}.invalid"
    assert letter.headers["Precedent-Subject"] == subject
    assert mentioned in letter.headers["Precedent-Detail"]


@pytest.mark.parametrize("name", ["Incidents", "ab", "-abc", "a" * 64, "abc_"])
@pytest.mark.parametrize(
    "prefix", ["security.events.v1.{}.auth", "security.outcomes.v1.{}", "security.deletions.v1.{}"]
)
async def test_a_subject_without_a_legal_collection_is_kept_under_the_underscore(
    wire: Wire, name: str, prefix: str
) -> None:
    """Whatever kind of message it is, it cannot name a collection of its own among the dead letters."""
    seq = await wire.publish(prefix.format(name), {"text": "x", "event_id": "a", "verdict": "benign", "all": True})
    letter = await the_dead_letter(wire, "_", seq)
    assert letter.subject == "security.dead.v1._.invalid"
    assert letter.headers["Precedent-Subject"] == prefix.format(name)
    assert name not in (await wire.stats())["collections"]


@pytest.mark.parametrize(
    ("subject", "payload", "mentioned"),
    [
        ("outcomes", {"event_id": "a"}, "verdict"),
        ("outcomes", {"event_id": "a", "verdict": "guilty"}, "verdict"),
        ("outcomes", {"verdict": "benign"}, "event_id"),
        ("outcomes", {"event_id": "a b", "verdict": "benign"}, "event_id"),
        ("outcomes", {"event_id": "a", "verdict": "benign", "mitigation": "m" * 257}, "mitigation"),
        ("outcomes", {"event_id": "a", "verdict": "benign", "decided_at": "yesterday"}, "decided_at"),
        ("deletions", {}, "ids"),
        ("deletions", {"ids": []}, "ids"),
        ("deletions", {"ids": ["a"], "all": True}, "ids"),
    ],
)
async def test_bad_outcomes_and_deletions_are_dead_letters_too(
    wire: Wire, collection: str, subject: str, payload: object, mentioned: str
) -> None:
    """They are refused by the same rules, and nothing is decided or deleted by them."""
    await wire.event(collection, "an event", id="a")
    seq = await wire.publish(f"security.{subject}.v1.{collection}", payload)
    letter = await the_dead_letter(wire, collection, seq)
    assert letter.headers["Precedent-Reason"] == "invalid"
    assert mentioned in letter.headers["Precedent-Detail"]
    assert (await wire.entry(collection, "a"))["outcome"] is None


async def test_the_original_headers_come_along_without_those_of_the_server(wire: Wire, collection: str) -> None:
    """What the publisher said is kept; no header that would mean something to a server is."""
    headers = {
        "Nats-Msg-Id": f"{collection}:a:00",
        "Nats-Expected-Stream": "SECURITY_EVENTS",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "X-Team": "soc",
        "Precedent-Reason": "a forgery",
    }
    seq = await wire.publish(f"security.events.v1.{collection}.auth", b"not json", headers)
    letter = await the_dead_letter(wire, collection, seq)
    assert original_headers(letter) == {
        "traceparent": ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
        "X-Team": ["soc"],
        "Precedent-Reason": ["a forgery"],
    }
    assert letter.headers["Precedent-Reason"] == "malformed"
    assert [name for name in letter.headers if name.startswith("Nats-")] == ["Nats-Msg-Id"]
    assert letter.headers["Nats-Msg-Id"] == f"dead:{seq}"


async def test_a_message_that_looks_like_a_status_is_indexed(wire: Wire, collection: str) -> None:
    """A header named Status, which the protocol uses for itself, hides no event and stops none."""
    headers = {"Status": "404", "Description": "Message Not Found"}
    await wire.publish(f"security.events.v1.{collection}.auth", {"text": "x", "id": "a"}, headers)
    await wire.covered(await wire.event(collection, "x", id="b"))
    assert await wire.listed(collection) == ["a", "b"]


async def test_text_of_control_characters_cannot_spoof_the_detail(wire: Wire, collection: str) -> None:
    """What the publisher sent is shown in the detail only as printable ASCII, and never at length."""
    payload = {"text": "x", "severity": "\x1b[2J\u202e\r\nPrecedent-Reason: fine" * 50}
    letter = await the_dead_letter(
        wire, collection, await wire.publish(f"security.events.v1.{collection}.auth", payload)
    )
    assert letter.headers["Precedent-Detail"].isprintable()
    assert letter.headers["Precedent-Detail"].isascii()
    assert len(letter.headers["Precedent-Detail"]) <= 256
    assert letter.headers["Precedent-Reason"] == "invalid"


async def test_a_newer_publishers_fields_are_ignored(wire: Wire, collection: str) -> None:
    """A field that this version does not know, and a known one of null, refuse nothing."""
    body = {"text": "x", "id": "a", "tenant": {"name": "blue"}, "user": None, "severity": None, "attributes": None}
    await wire.covered(await wire.publish(f"security.events.v1.{collection}.auth", body))
    event = (await wire.entry(collection, "a"))["event"]
    assert (event["severity"], event["user"], event["attributes"]) == (1, None, {})
    assert "tenant" not in event
