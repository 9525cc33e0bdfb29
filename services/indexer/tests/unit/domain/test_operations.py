"""What a message of the log means, or why it is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.making import message
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.domain.operations import Delete, PutEvent, PutOutcome, decode
from precedent_schemas.events import Verdict
from precedent_schemas.failures import DeadReason

STORED_AT = datetime(2026, 1, 31, 12, 0, 0, 123999, tzinfo=UTC)
OUTCOMES = "security.outcomes.v1.incidents"
DELETIONS = "security.deletions.v1.rules"


def test_defaults_are_the_same_on_every_delivery() -> None:
    """An event of a text alone gets its id from its sequence and its time from the log, cut to the millisecond."""
    one = message(17, {"text": "  failed login\n"}, stored_at=STORED_AT)
    decoded = decode(one)
    assert isinstance(decoded, PutEvent)
    event = decoded.event
    assert (decoded.seq, decoded.collection, event.id, event.kind) == (17, "incidents", "seq-17", "auth")
    assert event.occurred_at == datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC)
    assert (event.text, event.severity, event.attributes) == ("failed login", 1, {})
    assert (event.source, event.user, event.ip) == (None, None, None)
    assert decode(message(17, {"text": "failed login"}, stored_at=STORED_AT, deliveries=9)) == decoded


def test_what_is_given_is_kept() -> None:
    """Every field comes through, normalised; a field that is not known, and null, are as if they were not there."""
    body = {
        "id": "a:b/1",
        "text": "t",
        "occurred_at": "2026-01-31T13:00:00.1239+01:00",
        "severity": 5,
        "source": "sshd",
        "user": "admin",
        "ip": "::FFFF:10.0.0.1",
        "attributes": {"n": 1.0, "l": ["a"]},
        "colour": "red",
    }
    decoded = decode(message(3, body, subject="security.events.v1.my-col_1.auth.brute_force"))
    assert isinstance(decoded, PutEvent)
    event = decoded.event
    assert (event.id, event.collection, event.kind) == ("a:b/1", "my-col_1", "auth.brute_force")
    assert event.occurred_at == datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC)
    assert (event.severity, event.source, event.user, event.ip) == (5, "sshd", "admin", "10.0.0.1")
    assert repr(event.attributes) == "{'n': 1.0, 'l': ['a']}"
    nulls = decode(message(3, {"text": "t", "id": None, "user": None, "occurred_at": None}))
    assert isinstance(nulls, PutEvent)
    assert nulls.event.id == "seq-3"


def test_an_outcome_is_dated_by_the_log_unless_it_says_when() -> None:
    """`decided_at` is filled in from the log's time, and kept where it is given."""
    body: dict[str, Any] = {"event_id": "seq-1", "verdict": "benign", "note": "n", "by": "anna", "mitigation": "m"}
    decoded = decode(message(4, body, subject=OUTCOMES, stored_at=STORED_AT))
    assert isinstance(decoded, PutOutcome)
    assert (decoded.seq, decoded.collection, decoded.outcome.event_id) == (4, "incidents", "seq-1")
    assert decoded.outcome.verdict is Verdict.BENIGN
    assert decoded.outcome.decided_at == datetime(2026, 1, 31, 12, 0, 0, 123000, tzinfo=UTC)
    said = decode(message(4, body | {"decided_at": "2020-01-01T00:00:00Z"}, subject=OUTCOMES))
    assert isinstance(said, PutOutcome)
    assert said.outcome.decided_at == datetime(2020, 1, 1, tzinfo=UTC)


def test_deletions() -> None:
    """Ids come once each in the order given; all is no list of ids."""
    assert decode(message(5, {"ids": ["b", "a", "b"]}, subject=DELETIONS)) == Delete(5, "rules", ("b", "a"))
    assert decode(message(5, {"all": True}, subject=DELETIONS)) == Delete(5, "rules", None)


@pytest.mark.parametrize(
    ("data", "reason", "says"),
    [
        (b"", DeadReason.MALFORMED, "not JSON"),
        (b"null", DeadReason.MALFORMED, "object"),
        (b"[]", DeadReason.MALFORMED, "object"),
        (b"{", DeadReason.MALFORMED, "not JSON"),
        (b'{"text": "\xff"}', DeadReason.MALFORMED, "UTF-8"),
        (b'{"text": "a", "text": "b"}', DeadReason.MALFORMED, "twice"),
        (b'{"text": "a", "x": NaN}', DeadReason.MALFORMED, "NaN"),
        (b'{"text": "a", "x": 1e999}', DeadReason.MALFORMED, "1e999"),
        (b'{"text": "a", "x": -Infinity}', DeadReason.MALFORMED, "Infinity"),
        (b'{"text": "\\ud800"}', DeadReason.MALFORMED, "surrogate"),
        (b'{"text": "a", "x": ' + b"[" * 40 + b"]" * 40 + b"}", DeadReason.MALFORMED, "levels"),
        (b"{}", DeadReason.INVALID, "text"),
        (b'{"text": " "}', DeadReason.INVALID, "text"),
        (b'{"text": 1}', DeadReason.INVALID, "text"),
        (b'{"text": null}', DeadReason.INVALID, "text"),
        (b'{"text": "a", "id": "seq-1"}', DeadReason.INVALID, "id"),
        (b'{"text": "a", "id": ""}', DeadReason.INVALID, "id"),
        (b'{"text": "a", "severity": 6}', DeadReason.INVALID, "severity"),
        (b'{"text": "a", "severity": "3"}', DeadReason.INVALID, "severity"),
        (b'{"text": "a", "severity": true}', DeadReason.INVALID, "severity"),
        (b'{"text": "a", "ip": "fe80::1%eth0"}', DeadReason.INVALID, "ip"),
        (b'{"text": "a", "occurred_at": "2026-01-31T12:00:00"}', DeadReason.INVALID, "occurred_at"),
        (b'{"text": "a", "attributes": {"k": {"n": 1}}}', DeadReason.INVALID, "attributes"),
        (b'{"text": "a", "attributes": {"k": 9223372036854775808}}', DeadReason.INVALID, "attributes"),
        (b'{"text": "' + b"x" * 32_769 + b'"}', DeadReason.TOO_LARGE, "text"),
        (b'{"text": "a", "x": "' + b"x" * 262_144 + b'"}', DeadReason.TOO_LARGE, "bytes"),
        (b'{"text": "' + b"x" * 32_769 + b'", "severity": 9}', DeadReason.INVALID, "severity"),
    ],
)
def test_refusals_of_events(data: bytes, reason: DeadReason, says: str) -> None:
    """Each broken rule has its reason, and the detail names what is wrong in printable ASCII."""
    decoded = decode(message(1, data))
    assert isinstance(decoded, Refusal)
    assert decoded.reason is reason
    assert says in decoded.detail
    assert decoded.detail.isascii()
    assert decoded.detail.isprintable()
    assert len(decoded.detail) <= 256


@pytest.mark.parametrize(
    ("subject", "body"),
    [
        ("security.events.v1.X.auth", {"text": "a"}),
        ("security.events.v1.ab.auth", {"text": "a"}),
        ("security.events.v1.incidents", {"text": "a"}),
        ("security.events.v1.incidents.Auth", {"text": "a"}),
        ("security.events.v1.incidents.a.b.c.d.e", {"text": "a"}),
        ("security.events.v1.incidents.a\u202eb", {"text": "a"}),
        ("security.outcomes.v1._", {"event_id": "a", "verdict": "benign"}),
        (OUTCOMES, {"event_id": "a", "verdict": "maybe"}),
        (OUTCOMES, {"verdict": "benign"}),
        (DELETIONS, {}),
        (DELETIONS, {"ids": [], "all": False}),
        (DELETIONS, {"ids": ["a"], "all": True}),
        ("something.else", {"text": "a"}),
    ],
)
def test_refusals_of_subjects_outcomes_and_deletions(subject: str, body: dict[str, Any]) -> None:
    """What a subject must not say, and broken outcomes and deletions, are invalid."""
    decoded = decode(message(1, body, subject=subject))
    assert isinstance(decoded, Refusal)
    assert decoded.reason is DeadReason.INVALID
    assert decoded.detail.isascii()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(("text", "id", "occurred_at", "severity", "ip", "attributes", "event_id", "verdict", "ids"))


@settings(max_examples=150, deadline=None, database=None)
@given(
    subject=st.sampled_from(("security.events.v1.incidents.auth", OUTCOMES, DELETIONS)) | st.text(st.characters()),
    data=st.binary(max_size=60)
    | st.dictionaries(fields, json_values, max_size=5).map(lambda value: json.dumps(value).encode()),
)
def test_nothing_makes_decoding_raise(subject: str, data: bytes) -> None:
    """Whatever bytes on whatever subject: an operation or a refusal, never an exception."""
    decoded = decode(message(1, data, subject=subject))
    assert isinstance(decoded, Refusal | PutEvent | PutOutcome | Delete)
    if isinstance(decoded, Refusal):
        assert decoded.detail.isascii()
