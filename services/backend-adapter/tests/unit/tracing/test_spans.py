"""Traces: what is published and asked is a span of the caller's trace, which goes on with the message."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fake_log
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, TraceState, format_span_id, format_trace_id
from scripted import client

from precedent_backend_adapter import (
    NotDelivered,
    NotFound,
    Outcome,
    Publication,
    Refused,
    SecurityEvent,
    Verdict,
)
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._tracing import spans
from precedent_backend_adapter._transport import Ack, Fault, FaultKind, Reply
from precedent_schemas.limits import MAX_LOG_MESSAGE_BYTES

ACK = Ack(7)
CUT = Fault(FaultKind.CUT, "the wire says secret")
OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
COVERED = {"indexed_seq": 0, "stream_seq": 0, "model": {"name": "m", "fingerprint": "f"}}
STATS = Reply(json.dumps({"count": 0, **COVERED}).encode(), {})


class Traced:
    """An application that traces."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("the application")

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """Those that ended and whose names begin like this."""
        return [one for one in self._exporter.get_finished_spans() if one.name.startswith(name)]

    def only(self, name: str) -> ReadableSpan:
        """The one that ended."""
        [span] = self.spans(name)
        return span


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Traced:
    """Spans of this test alone: a provider that is set for the process could not be taken back."""
    application = Traced()
    monkeypatch.setattr(spans, "_TRACER", application.tracer)
    return application


def event(**fields: Any) -> SecurityEvent:
    """An event that is right but for `fields`."""
    return SecurityEvent.model_validate({"kind": "auth.brute_force", "text": "secret words", **fields})


def carries(headers: Any, span: ReadableSpan) -> bool:
    """Whether `headers` carry the context of `span`."""
    context = span.get_span_context()
    assert context is not None
    ids = f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-"
    return str(headers.get("traceparent")).startswith(ids)


async def test_a_publish_is_a_span_of_the_callers_trace_and_the_message_carries_it(traced: Traced) -> None:
    """Named and described by the conventions for messaging; whoever reads the message can go on with the trace."""
    precedent, wire = client(ACK)
    with traced.tracer.start_as_current_span("request") as outer:
        await precedent.publish(event(id="a"))
    span = traced.only("publish")
    assert span.name == "publish security.events.v1.{collection}.{kind}"
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": "security.events.v1.incidents.auth.brute_force",
        "messaging.destination.template": "security.events.v1.{collection}.{kind}",
        "messaging.message.id": wire.sent[0].headers["Nats-Msg-Id"],
    }
    assert span.parent == outer.get_span_context()
    assert span.status.status_code is StatusCode.UNSET
    assert carries(wire.sent[0].headers, span)


async def test_outcomes_and_each_of_many_events_have_spans_of_their_own(traced: Traced) -> None:
    """Each message carries the context of its own span, and all are parts of the caller's trace."""
    precedent, wire = client(ACK)
    with traced.tracer.start_as_current_span("request") as outer:
        await precedent.publish_many(event(id=name) for name in "abc")
        await precedent.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN))
    assert len(traced.spans("publish security.events")) == 3
    assert len(traced.spans("publish security.outcomes.v1.{collection}")) == 1
    for sent in wire.sent:
        [own] = [span for span in traced.spans("publish") if carries(sent.headers, span)]
        assert own.parent == outer.get_span_context()


async def test_a_trace_state_goes_along(traced: Traced) -> None:
    """What the tracing systems before this one added to the context reaches those behind it."""
    precedent, wire = client(ACK)
    remote = trace.SpanContext(1, 2, is_remote=True, trace_state=TraceState([("vendor", "x")]))
    with trace.use_span(trace.NonRecordingSpan(remote)):
        await precedent.publish(event())
    assert wire.sent[0].headers["tracestate"] == "vendor=x"


async def test_a_context_that_the_caller_gives_is_sent_as_it_is(traced: Traced) -> None:
    """The span then only has a link to it, as the conventions say."""
    precedent, wire = client(ACK)
    await precedent.publish(event(), headers={"traceparent": OWN, "tracestate": "vendor=x"})
    assert (wire.sent[0].headers["traceparent"], wire.sent[0].headers["tracestate"]) == (OWN, "vendor=x")
    [link] = traced.only("publish").links
    assert format_trace_id(link.context.trace_id) == OWN[3:35]


@pytest.mark.parametrize("given", ["", "nonsense", OWN[:-1], f"{OWN}-more", "z" * 4000, OWN.replace("00-", "ff-")])
async def test_a_context_that_is_none_is_the_callers_own_affair(traced: Traced, given: str) -> None:
    """It is sent as it is; nothing is made of it here, and nothing fails."""
    precedent, wire = client(ACK)
    await precedent.publish(event(), headers={"traceparent": given})
    assert wire.sent[0].headers["traceparent"] == given
    assert not traced.only("publish").links


async def test_every_attempt_has_the_same_headers(traced: Traced) -> None:
    """A retry is the same message, so it carries the same context; all attempts are one span."""
    precedent, wire = client(CUT, CUT, ACK)
    await precedent.publish(event())
    assert len(wire.sent) == 3
    assert len({tuple(sorted(sent.headers.items())) for sent in wire.sent}) == 1
    assert carries(wire.sent[0].headers, traced.only("publish"))


async def test_what_is_published_anew_keeps_its_context(traced: Traced) -> None:
    """`republish` sends what the first call prepared, also the context; its own span has a link to the first."""
    precedent, wire = client(Fault(FaultKind.LOG_FULL, "full"), ACK)
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(event())
    await precedent.republish(caught.value.pending)
    first, second = traced.spans("publish")
    assert wire.sent[0] == wire.sent[1]
    assert carries(wire.sent[1].headers, first)
    assert first.context is not None
    assert [link.context.span_id for link in second.links] == [first.context.span_id]


async def test_what_was_first_sent_without_a_context_is_not_changed_by_a_later_trace(traced: Traced) -> None:
    """The message is sent exactly as before, although somebody traces by now."""
    precedent, wire = client(ACK)
    pending = Publication(
        "security.events.v1.incidents.auth", b"{}", {"Nats-Msg-Id": "incidents:a:0"}, "incidents", "a"
    )
    await precedent.republish(pending)
    assert wire.sent[0].headers == pending.headers
    assert not traced.only("publish").links


async def test_a_trace_costs_no_event(traced: Traced) -> None:
    """An event that the log takes only without the headers of a trace is sent without them."""
    precedent, wire = client(ACK)
    await precedent.publish(event(id="a"))
    room = MAX_LOG_MESSAGE_BYTES - size(wire.sent[0].payload, wire.sent[0].headers)
    filler = ["x" * 1000] * ((room - 1000) // 1003)
    await precedent.publish(event(id="a", attributes={"filler": filler}))
    assert "traceparent" in wire.sent[1].headers
    left = MAX_LOG_MESSAGE_BYTES - size(wire.sent[1].payload, wire.sent[1].headers)
    await precedent.publish(event(id="a", attributes={"filler": [*filler[:-1], "x" * (1000 + left + 1)]}))
    assert "traceparent" not in wire.sent[2].headers
    assert len(traced.spans("publish")) == 3


async def test_a_failure_is_told_by_its_class_alone(traced: Traced) -> None:
    """Neither what an event says nor the text of an exception is in a span."""
    precedent, _ = client(Fault(FaultKind.REJECTED, "the wire says secret words"))
    with pytest.raises(NotDelivered):
        await precedent.publish(event(user="secret user", attributes={"secret": "secret"}))
    span = traced.only("publish")
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert (span.attributes or {})["error.type"] == "NotDelivered"
    assert not span.events
    assert "secret" not in span.to_json()


async def test_a_question_is_a_span_and_carries_its_context(traced: Traced) -> None:
    """From the question to its answer, named after what is asked; the indexer can go on with the trace."""
    precedent, wire = client(STATS)
    with traced.tracer.start_as_current_span("request") as outer:
        await precedent.collection_stats("incidents")
    span = traced.only("request security")
    assert span.name == "request security.index.v1.{collection}.stats"
    assert span.kind is SpanKind.CLIENT
    assert span.parent == outer.get_span_context()
    assert span.attributes == {
        "messaging.system": "nats",
        "messaging.operation.name": "request",
        "messaging.operation.type": "send",
        "messaging.destination.name": "security.index.v1.incidents.stats",
        "messaging.destination.template": "security.index.v1.{collection}.stats",
    }
    assert carries(wire.sent[0].headers, span)


async def test_a_question_that_fails_is_a_failed_span(traced: Traced) -> None:
    """By the class of what the caller gets."""
    body = {"error": {"code": 404, "reason": "not_found", "message": "secret words", "details": []}}
    precedent, _ = client(Reply(json.dumps(body).encode(), {"Nats-Service-Error-Code": "404"}))
    with pytest.raises(NotFound):
        await precedent.search("secret words")
    span = traced.only("request")
    assert (span.attributes or {})["error.type"] == "NotFound"
    assert span.status.status_code is StatusCode.ERROR
    assert "secret" not in span.to_json()


async def test_what_is_refused_before_it_is_sent_is_no_span(traced: Traced) -> None:
    """Nothing was sent: that is the caller's own affair."""
    precedent, wire = client(ACK)
    with pytest.raises(Refused):
        await precedent.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN), collection="no such name")
    with pytest.raises(Refused):
        await precedent.search("x", collection="no such name")
    assert not wire.sent
    assert not traced.spans()


async def test_a_trace_survives_a_restart_in_the_outbox(traced: Traced, tmp_path: Path) -> None:
    """The context lies on disk with the message, and is delivered by whoever delivers that."""
    log = fake_log.FakeLog()
    async with fake_log.client(log, tmp_path / "outbox") as precedent:
        await precedent.publish(event(id="a"))
    log.connected.set()
    assert not log.attempts
    async with fake_log.client(log, tmp_path / "outbox") as precedent:
        await precedent.flush()
    assert carries(log.stored[0].headers, traced.only("publish"))


async def test_without_a_provider_nothing_is_added() -> None:
    """OpenTelemetry's interface alone traces nothing: messages are as they would be without it."""
    precedent, wire = client(ACK)
    await precedent.publish(event())
    assert set(wire.sent[0].headers) == {"Nats-Msg-Id", "Nats-Expected-Stream"}


PROGRAM = """
import asyncio, json, sys
{before}
from precedent_backend_adapter import SecurityEvent
from precedent_backend_adapter.testing import InMemoryPrecedent

async def main():
    precedent = InMemoryPrecedent()
    await precedent.publish(SecurityEvent(kind="auth", text="many failed logins", id="a"))
    print(json.dumps([len((await precedent.search("failed logins")).hits), sorted(sys.modules)]))

asyncio.run(main())
"""


@pytest.mark.parametrize("before", ["", "sys.modules['opentelemetry'] = None"], ids=["not used", "not installed"])
def test_who_does_not_trace_loads_nothing_for_it(before: str) -> None:
    """Publishing and asking work where OpenTelemetry is not installed, and do not import it where it is."""
    program = [sys.executable, "-I", "-c", PROGRAM.format(before=before)]
    done = subprocess.run(program, check=True, capture_output=True, text=True, timeout=60)
    hits, loaded = json.loads(done.stdout)
    assert hits == 1
    assert "precedent_backend_adapter._tracing.spans" not in loaded
    assert not [name for name in loaded if name.startswith("opentelemetry.")]
