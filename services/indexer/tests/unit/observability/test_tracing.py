"""Traces: what becomes of a message and of a question is a span of its sender's trace, whatever a header says."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from fakes.indexer import FakeIndexer
from fakes.log_model import POISON
from fakes.making import message
from fakes.waiting import until
from precedent_indexer.adapters.chroma.embedded import open_client
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, QuestionFailed
from precedent_indexer.ingest import supervisor
from precedent_indexer.observability import tracing
from precedent_schemas import catalogue
from precedent_schemas.failures import ErrorReason

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SPAN_ID = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
EVENTS = "security.events.v1.incidents.auth"


class Recorded:
    """The spans of one test."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider()
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("precedent_indexer")

    def named(self, name: str) -> list[ReadableSpan]:
        """Those that ended and whose names begin like this."""
        return [one for one in self._exporter.get_finished_spans() if one.name.startswith(name)]

    def of(self, seq: int) -> ReadableSpan:
        """The one span of a message."""
        [found] = [one for one in self.named("process") if attributes(one).get("precedent.seq") == seq]
        return found


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """What a span says."""
    return dict(span.attributes or {})


def parent(span: ReadableSpan) -> tuple[str, str] | None:
    """Trace and span that a span is a part of."""
    if span.parent is None:
        return None
    return format_trace_id(span.parent.trace_id), format_span_id(span.parent.span_id)


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """A provider of this test alone: one that is set for the process could not be taken back."""
    made = Recorded()
    monkeypatch.setattr(tracing, "_TRACER", made.tracer)
    monkeypatch.setattr(tracing, "_is_heard", lambda: True)
    return made


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes, running."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
    made = FakeIndexer({}, (), 4)
    yield made
    made._task.cancel()
    await asyncio.wait({made._task})


def publish(indexer: FakeIndexer, text: str = "secret words", **headers: str) -> int:
    """An event with these headers, in the log."""
    carried = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return indexer.log.publish(EVENTS, json.dumps({"text": text, "id": "a"}).encode(), carried)


async def covered(indexer: FakeIndexer) -> None:
    """Wait until the index has everything."""
    await until(lambda: indexer.progress.indexed_seq == indexer.log.last_seq)


async def test_indexing_a_message_is_a_span_of_its_publishers_trace(indexer: FakeIndexer, recorded: Recorded) -> None:
    """Named and described by the conventions for messaging, from its taking until it is in the index."""
    seq = publish(indexer, traceparent=TRACEPARENT, Nats_Msg_Id="incidents:a:0")
    await covered(indexer)
    span = recorded.of(seq)
    assert span.name == "process security.events.v1.{collection}.{kind}"
    assert span.kind is SpanKind.CONSUMER
    assert parent(span) == (TRACE_ID, SPAN_ID)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": EVENTS,
        "messaging.destination.template": "security.events.v1.{collection}.{kind}",
        "messaging.consumer.group.name": "indexer",
        "messaging.message.id": "incidents:a:0",
        "precedent.collection": "incidents",
        "precedent.seq": seq,
        "precedent.result": "applied",
    }
    assert "secret" not in span.to_json()


async def test_a_name_of_a_header_in_capitals_is_the_same_name(indexer: FakeIndexer, recorded: Recorded) -> None:
    """Clients of other languages write `Traceparent`."""
    seq = publish(indexer, Traceparent=TRACEPARENT)
    await covered(indexer)
    assert parent(recorded.of(seq)) == (TRACE_ID, SPAN_ID)


async def test_a_message_without_a_context_begins_a_trace(indexer: FakeIndexer, recorded: Recorded) -> None:
    """As one from the `nats` command: it is traced from here on, whatever is traced around the indexer."""
    with recorded.tracer.start_as_current_span("around"):
        seq = publish(indexer)
        await covered(indexer)
    assert parent(recorded.of(seq)) is None


async def test_each_message_of_a_batch_has_its_own_trace_and_the_stages_have_links_to_them(
    indexer: FakeIndexer, recorded: Recorded
) -> None:
    """What a batch shares, preparing and committing it, is a part of no sender's trace, and says whose it was."""
    async with indexer.ingest.held():
        seqs = [publish(indexer, f"text {n}", traceparent=TRACEPARENT.replace("0af7", f"0af{n}")) for n in range(3)]
    await covered(indexer)
    spans = [recorded.of(seq) for seq in seqs]
    assert [parent(span) for span in spans] == [(TRACE_ID.replace("0af7", f"0af{n}"), SPAN_ID) for n in range(3)]
    for name in ("prepare", "commit"):
        stages = recorded.named(name)
        assert [link.context for stage in stages for link in stage.links] == [span.get_span_context() for span in spans]
        assert [stage.parent for stage in stages] == [None] * len(stages)
        assert sum(attributes(stage)["messaging.batch.message_count"] for stage in stages) == 3


async def test_a_dead_letter_is_a_failed_span_by_its_reason_alone(indexer: FakeIndexer, recorded: Recorded) -> None:
    """The span says that it was refused and why by one word; what it said is in the dead letter."""
    bad = indexer.log.publish(EVENTS, b'{"text": 1, "secret": "secret"}', {"traceparent": [TRACEPARENT]})
    poison = publish(indexer, f"secret {POISON}", traceparent=TRACEPARENT)
    await covered(indexer)
    for seq, reason in ((bad, "invalid"), (poison, "unprocessable")):
        span = recorded.of(seq)
        assert span.status.status_code is StatusCode.ERROR
        assert span.status.description is None
        assert attributes(span)["precedent.result"] == "dead_letter"
        assert attributes(span)["error.type"] == reason
        assert not span.events
        assert "secret" not in span.to_json()


async def test_a_fault_ends_the_spans_of_what_was_in_hand(
    indexer: FakeIndexer, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A try that fails is a failed span of the message and of the stage; the next try is another one."""
    commit, failures = indexer.applier.commit, [BusUnavailable("secret")]

    async def failing_once(prepared: Any) -> Any:
        if failures:
            raise failures.pop()
        return await commit(prepared)

    monkeypatch.setattr(indexer.applier, "commit", failing_once)
    publish(indexer, traceparent=TRACEPARENT)
    await covered(indexer)
    failed, done = recorded.named("process")
    assert (attributes(failed)["error.type"], attributes(done)["precedent.result"]) == ("BusUnavailable", "applied")
    assert parent(failed) == parent(done) == (TRACE_ID, SPAN_ID)
    [stage, _] = recorded.named("commit")
    assert attributes(stage)["error.type"] == "BusUnavailable"
    assert "secret" not in stage.to_json() + failed.to_json()


HOSTILE = {
    "empty": {"traceparent": [""]},
    "nonsense": {"traceparent": ["z" * 200_000]},
    "nothing but digits": {"traceparent": ["0" * 55]},
    "a trace of zeros": {"traceparent": [f"00-{'0' * 32}-{SPAN_ID}-01"]},
    "a forbidden version": {"traceparent": [TRACEPARENT.replace("00-", "ff-", 1)]},
    "more behind it": {"traceparent": [f"{TRACEPARENT}-{'z' * 1000}"]},
    "other digits": {"traceparent": [TRACEPARENT.replace("0", "\u0660")]},
    "a line of its own": {"traceparent": [f"{TRACEPARENT}\r\nX: y"]},
    "no value": {"traceparent": []},
    "twice in two spellings": {"traceparent": ["z"], "Traceparent": ["y"]},
    "lone surrogates": {"traceparent": ["\udcff\udcfe"], "tracestate": ["\udcff=\udcfe"]},
}


@pytest.mark.parametrize("headers", HOSTILE.values(), ids=HOSTILE)
async def test_no_context_is_too_hostile(
    indexer: FakeIndexer, recorded: Recorded, headers: dict[str, list[str]]
) -> None:
    """Whatever the header says, the message is indexed, and has a span of a trace of its own."""
    seq = indexer.log.publish(EVENTS, b'{"text": "x"}', headers)
    await covered(indexer)
    assert indexer.progress.refusal(seq) is None
    span = recorded.of(seq)
    assert parent(span) is None
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("state", ["=,=,=", "a=b," * 100_000, "a=1,a=2", "\x00=\x1b[2J", "k=" + "v" * 100_000])
async def test_a_hostile_trace_state_does_not_cost_the_context(
    indexer: FakeIndexer, recorded: Recorded, state: str
) -> None:
    """The trace goes on; nothing of what is no trace state is kept."""
    seq = publish(indexer, traceparent=TRACEPARENT, tracestate=state)
    await covered(indexer)
    span = recorded.of(seq)
    assert parent(span) == (TRACE_ID, SPAN_ID)
    context = span.get_span_context()
    assert context is not None
    assert len(context.trace_state.to_header()) < 600
    assert context.trace_state.to_header().isprintable()


def test_of_other_headers_and_subjects_only_what_is_plain_is_kept(recorded: Recorded) -> None:
    """What an exporter could not encode, or would be flooded by, is left out; there are three names of spans."""
    hostile = ["security.events.v1.\udcff.x", "security.events.v1." + "x" * 4000, "security.events.v1.UP.\x1b"]
    messages = [
        message(seq, subject=subject, headers={"Nats-Msg-Id": [name]})
        for seq, (subject, name) in enumerate(zip(hostile, ["m" * 50_000, "\udcff", "é"], strict=True))
    ]
    tracing.Batch(messages).end({})
    for span in recorded.named(""):
        assert span.name == "process security.events.v1.{collection}.{kind}"
        assert (
            not {"messaging.destination.name", "messaging.message.id", "precedent.collection"} & attributes(span).keys()
        )


def ask(endpoint: catalogue.Endpoint, failure: Exception | None = None, **headers: str) -> None:
    """One question, answered or failed."""
    packet = Packet(endpoint.subject.replace("*", "incidents"), "_INBOX.a", b"secret", headers)
    try:
        with tracing.answering(endpoint, packet):
            if failure is not None:
                raise failure
    except Exception as error:
        if error is not failure:
            raise


def test_answering_a_question_is_a_span_of_the_askers_trace(recorded: Recorded) -> None:
    """Named after what was asked, and what is sent meanwhile can carry its context."""
    carried = {}
    with tracing.answering(
        catalogue.DELETE, Packet("security.index.v1.incidents.delete", "", b"secret", {"traceparent": TRACEPARENT})
    ):
        carried = tracing.carried()
    [span] = recorded.named("")
    assert span.name == "process security.index.v1.{collection}.delete"
    assert span.kind is SpanKind.SERVER
    assert parent(span) == (TRACE_ID, SPAN_ID)
    assert span.context is not None
    assert carried == {"traceparent": f"00-{TRACE_ID}-{format_span_id(span.context.span_id)}-01"}
    assert attributes(span) == {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "security.index.v1.incidents.delete",
        "messaging.destination.template": "security.index.v1.{collection}.delete",
        "precedent.collection": "incidents",
    }


def test_a_question_to_the_service_names_no_collection(recorded: Recorded) -> None:
    """The token where a collection would stand is none."""
    ask(catalogue.STATS)
    [span] = recorded.named("")
    assert span.name == "process security.index.v1.stats"
    assert "precedent.collection" not in attributes(span)
    assert parent(span) is None


@pytest.mark.parametrize(
    ("failure", "kind", "status"),
    [
        (QuestionFailed(ErrorReason.NOT_FOUND, "secret"), "not_found", StatusCode.UNSET),
        (QuestionFailed(ErrorReason.OVERLOADED, "secret"), "overloaded", StatusCode.UNSET),
        (QuestionFailed(ErrorReason.UNAVAILABLE, "secret"), "unavailable", StatusCode.ERROR),
        (QuestionFailed(ErrorReason.INTERNAL, "secret"), "internal", StatusCode.ERROR),
        (RuntimeError("secret"), "RuntimeError", StatusCode.ERROR),
    ],
)
def test_a_question_that_fails_says_so_by_the_code_of_its_error(
    recorded: Recorded, failure: Exception, kind: str, status: StatusCode
) -> None:
    """What the asker did wrong is no failure of the indexer; no text of an error is in a span."""
    ask(catalogue.SEARCH, failure)
    [span] = recorded.named("")
    assert (attributes(span)["error.type"], span.status.status_code) == (kind, status)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("value", ["", "z" * 200_000, f"{TRACEPARENT}\r\nX: y", "\udcff"])
def test_no_context_of_a_question_is_too_hostile(recorded: Recorded, value: str) -> None:
    """It is answered, as the beginning of a trace."""
    ask(catalogue.GET, traceparent=value, tracestate=value)
    [span] = recorded.named("")
    assert parent(span) is None


async def test_without_a_provider_nothing_is_recorded_and_all_goes_on(indexer: FakeIndexer) -> None:
    """As the indexer is installed: with OpenTelemetry's interface and nobody behind it."""
    publish(indexer, traceparent=TRACEPARENT)
    await covered(indexer)
    ask(catalogue.GET, traceparent=TRACEPARENT)
    assert tracing.carried() == {}
    tracing.flush(1)


def test_the_end_does_not_wait_for_a_collector_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be exported in time is given up: the process must end in time."""
    asked, never = threading.Event(), threading.Event()

    class Stuck(TracerProvider):
        def force_flush(self, timeout_millis: int = 0) -> bool:
            asked.set()
            return never.wait()

    provider = Stuck()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    tracing.flush(0.01)
    assert asked.wait(60)
    never.set()


def test_chromas_own_traces_are_off_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Switched on, Chroma would take the one global provider, and with it the indexer's own spans."""
    monkeypatch.setenv("CHROMA_OTEL_GRANULARITY", "all")
    monkeypatch.setenv("CHROMA_OTEL_COLLECTION_ENDPOINT", "http://127.0.0.1:1")
    client = open_client(tmp_path)
    assert client.get_settings().chroma_otel_granularity is None
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
