"""Publishing: what is sent, how often, and what the caller is told about its fate."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from scripted import client

from precedent_backend_adapter import (
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    Outcome,
    Precedent,
    Receipt,
    Refused,
    SecurityEvent,
    Verdict,
)
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._transport import Ack, Fault, FaultKind
from precedent_schemas.codec import decode_event

ACK = Ack(7)


def event(**fields: Any) -> SecurityEvent:
    """An event that is right but for `fields`."""
    return SecurityEvent.model_validate({"kind": "auth.brute_force", "text": "many failed logins", **fields})


def fault(kind: FaultKind) -> Fault:
    """A fault whose message names it."""
    return Fault(kind, f"the wire said {kind.name}")


async def test_an_event_is_sent_as_the_contract_says() -> None:
    """Subject, body and headers are those of the contract, and id and time are drawn when absent."""
    precedent, wire = client(ACK)
    before = datetime.now(UTC)
    receipt = await precedent.publish(event(severity=5, user="admin", ip="::ffff:203.0.113.7"))
    [sent] = wire.sent
    assert sent.subject == "security.events.v1.incidents.auth.brute_force"
    body = decode_event(sent.payload)
    assert receipt == Receipt(id=body.id or "", collection="incidents", seq=7, duplicate=False)
    assert body.id is not None
    assert re.fullmatch("[0-9a-f]{32}", body.id)
    assert body.occurred_at is not None
    assert abs((body.occurred_at - before).total_seconds()) < 60
    assert (body.severity, body.user, body.ip) == (5, "admin", "203.0.113.7")
    assert not {"kind", "collection"} & json.loads(sent.payload).keys()
    assert sent.headers is not None
    assert re.fullmatch(rf"incidents:{body.id}:[0-9a-f]{{32}}", sent.headers["Nats-Msg-Id"])
    assert sent.headers["Nats-Expected-Stream"] == "SECURITY_EVENTS"


async def test_an_id_and_a_time_that_are_given_are_kept() -> None:
    """Nothing is drawn for an event that has both."""
    precedent, wire = client(ACK)
    receipt = await precedent.publish(event(id="a-1", occurred_at="2026-01-31T13:00:00+01:00"))
    assert receipt.id == "a-1"
    assert json.loads(wire.sent[0].payload)["occurred_at"] == "2026-01-31T12:00:00.000Z"


async def test_an_outcome_is_sent_as_the_contract_says() -> None:
    """An outcome goes to its collection's subject, with the time of the decision."""
    precedent, wire = client(ACK)
    receipt = await precedent.publish_outcome(Outcome(event_id="seq-4", verdict=Verdict.BENIGN), collection="rules")
    assert receipt == Receipt("seq-4", "rules", 7)
    assert wire.sent[0].subject == "security.outcomes.v1.rules"
    assert json.loads(wire.sent[0].payload).keys() == {"event_id", "verdict", "decided_at"}


async def test_only_the_trace_headers_of_a_carrier_are_sent() -> None:
    """A carrier cannot smuggle in headers that change what the log does."""
    precedent, wire = client(ACK)
    await precedent.publish(event(), headers={"Traceparent": "00-ab", "tracestate": "x=1", "Nats-Rollup": "all"})
    assert wire.sent[0].headers is not None
    assert {name: value for name, value in wire.sent[0].headers.items() if not name.startswith("Nats-")} == {
        "traceparent": "00-ab",
        "tracestate": "x=1",
    }
    assert "Nats-Rollup" not in wire.sent[0].headers


async def test_a_trace_header_that_breaks_the_line_is_refused() -> None:
    """A header value that is not printable ASCII is refused by name, and nothing is sent."""
    precedent, wire = client(ACK)
    with pytest.raises(Refused) as caught:
        await precedent.publish(event(), headers={"traceparent": "00\r\nNats-Rollup: all"})
    assert [one.field for one in caught.value.problems] == ["headers.traceparent"]
    assert wire.sent == []


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind.worth_retrying])
async def test_every_retry_sends_the_very_same_message(kind: FaultKind) -> None:
    """After a fault that may pass, bytes and headers are the same again, so that the log can drop the second."""
    precedent, wire = client(fault(kind), fault(kind), Ack(7, duplicate=True))
    receipt = await precedent.publish(event())
    assert receipt.duplicate
    assert len(wire.sent) == 3
    assert len({(sent.subject, sent.payload, tuple(sorted((sent.headers or {}).items()))) for sent in wire.sent}) == 1


async def test_two_calls_for_one_event_are_two_messages() -> None:
    """A deliberate second publication of the same event has another message id."""
    precedent, wire = client(ACK)
    same = event(id="a-1")
    await precedent.publish(same)
    await precedent.publish(same)
    first, second = ((sent.headers or {})["Nats-Msg-Id"] for sent in wire.sent)
    assert first != second


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.NOT_SENT, NotDeliveredReason.UNREACHABLE),
        (FaultKind.NO_RESPONDERS, NotDeliveredReason.UNREACHABLE),
        (FaultKind.BUSY, NotDeliveredReason.UNREACHABLE),
        (FaultKind.CLOSED, NotDeliveredReason.UNREACHABLE),
        (FaultKind.LOG_FULL, NotDeliveredReason.LOG_FULL),
        (FaultKind.NOT_PERMITTED, NotDeliveredReason.NOT_PERMITTED),
        (FaultKind.TOO_LARGE, NotDeliveredReason.TOO_LARGE),
        (FaultKind.REJECTED, NotDeliveredReason.REJECTED),
    ],
)
async def test_what_cannot_have_arrived_is_not_delivered(kind: FaultKind, reason: NotDeliveredReason) -> None:
    """Where no attempt can have reached the log, the caller is told so, and why."""
    precedent, wire = client(fault(kind))
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(event(id="a-1"))
    assert caught.value.reason is reason
    assert "'a-1' of 'incidents'" in str(caught.value)
    assert caught.value.pending.payload == wire.sent[0].payload
    assert isinstance(caught.value.__cause__, Fault)
    assert len(wire.sent) == 1 or kind.worth_retrying


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind.may_have_arrived])
@pytest.mark.parametrize("last", [None, FaultKind.LOG_FULL, FaultKind.NOT_SENT])
async def test_one_unknown_attempt_makes_the_fate_unknown(kind: FaultKind, last: FaultKind | None) -> None:
    """Whatever later attempts were told, an attempt that may have arrived is never called not delivered."""
    precedent, _ = client(fault(kind), *([fault(last)] if last else []))
    with pytest.raises(DeliveryUnknown) as caught:
        await precedent.publish(event())
    assert kind.name in str(caught.value)


async def test_republishing_sends_the_pending_message_unchanged() -> None:
    """What DeliveryUnknown carries goes out again with the same bytes and message id."""
    precedent, wire = client(fault(FaultKind.DEAF), Ack(7, duplicate=True))
    with pytest.raises(DeliveryUnknown) as caught:
        await precedent.publish(event())
    receipt = await precedent.republish(caught.value.pending)
    first, second = wire.sent
    assert (first.payload, first.headers) == (second.payload, second.headers)
    assert receipt.duplicate


async def test_without_a_connection_nothing_is_sent_and_the_deadline_ends_it() -> None:
    """While disconnected nothing is handed to the transport, where it could be sent behind our back."""
    precedent, wire = client(ACK)
    wire.connected.clear()
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(event())
    assert caught.value.reason is NotDeliveredReason.UNREACHABLE
    assert wire.sent == []


async def test_an_attempt_never_outlasts_the_deadline() -> None:
    """Each attempt gets at most its own time and at most what is left of the whole."""
    precedent, wire = client(fault(FaultKind.NO_ANSWER))
    with pytest.raises(DeliveryUnknown):
        await precedent.publish(event())
    assert all(0 < sent.seconds <= 0.1 for sent in wire.sent)


@pytest.mark.parametrize(
    ("text", "max_payload"), [("x" * 900, 1_000), ("é" * 32_000, 1_048_576)], ids=["the server's", "the log's"]
)
async def test_too_large_is_found_before_anything_is_sent(text: str, max_payload: int) -> None:
    """Headers and payload beyond a limit are not sent: beyond the server's, it would close the connection."""
    precedent, wire = client(ACK, max_payload=max_payload)
    attributes = {f"k{n}": "x" * 4_000 for n in range(60)} if max_payload > 1_000 else {}
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(event(text=text, attributes=attributes))
    assert caught.value.reason is NotDeliveredReason.TOO_LARGE
    assert wire.sent == []


async def test_a_message_of_exactly_the_limit_is_sent() -> None:
    """The limit itself is allowed, counted with the headers as they stand on the wire."""
    precedent, wire = client(ACK)
    await precedent.publish(event(id="a-1"))
    exact = size(wire.sent[0].payload, wire.sent[0].headers or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in (wire.sent[0].headers or {}).items())
    assert exact == len(wire.sent[0].payload) + len(f"NATS/1.0\r\n{lines}\r\n")
    precedent, wire = client(ACK, max_payload=exact)
    await precedent.publish(event(id="a-1"))
    assert len(wire.sent) == 1


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: event().model_copy(update={"severity": 9}), "severity"),
        (lambda: event().model_copy(update={"attributes": {"k": "\ud800"}}), ""),
        (lambda: event().model_copy(update={"text": " "}), "text"),
    ],
    ids=["severity", "surrogate", "blank text"],
)
async def test_what_would_become_a_dead_letter_is_refused(build: Callable[[], SecurityEvent], field: str) -> None:
    """An event built around its validation is refused by field instead of dying unseen in the log."""
    precedent, wire = client(ACK)
    with pytest.raises(Refused) as caught:
        await precedent.publish(build())
    assert [one.field for one in caught.value.problems] == [field]
    assert wire.sent == []


async def test_an_illegal_collection_never_becomes_a_subject() -> None:
    """A collection that is none is refused by name before a subject is made of it."""
    precedent, wire = client(ACK)
    with pytest.raises(Refused) as caught:
        await precedent.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN), collection="a.>")
    assert [one.field for one in caught.value.problems] == ["collection"]
    assert wire.sent == []


async def test_pending_does_not_show_the_event_in_logs() -> None:
    """The repr of what is pending holds no payload: events hold personal data."""
    precedent, _ = client(fault(FaultKind.LOG_FULL))
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(event(text="secret words", id="a-1"))
    assert "secret" not in repr(caught.value.pending)
    assert "secret" not in str(caught.value)


def test_the_constructor_takes_any_transport() -> None:
    """The client itself knows no NATS: a transport and a config are all it needs."""
    precedent, _ = client(ACK)
    assert isinstance(precedent, Precedent)
