"""The one door to OpenTelemetry: what becomes of a message and of a question, as spans of its sender's trace.

Its interface alone is used: without a provider, which is for whoever runs the process to choose, nothing is recorded.
Names and attributes follow its conventions for messaging. A span never holds what a message or a question says, nor
the text of an exception, and from a header only what a trace context or an id may be.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from precedent_indexer import __version__
from precedent_indexer.domain.messages import LogMessage, Packet, Refusal
from precedent_indexer.errors import QuestionFailed
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import CONSUMER, MSG_ID_HEADER, TRACE_HEADERS, collection_of, log_subject_template

_TRACER: Final = trace.get_tracer("precedent_indexer", __version__)
_W3C: Final = TraceContextTextMapPropagator()
_NOWHERE: Final = Context()
"""An empty context: a span that starts in it belongs to no trace, whichever span is current."""
_MAX_CHARS: Final = 256
_SERVERS_FAULT: Final = 500
"""Codes from here on: the question was right."""


class Batch:
    """The spans of messages that are prepared and committed together, each a part of its publisher's trace."""

    def __init__(self, messages: Sequence[LogMessage]) -> None:
        self._spans = {one.seq: _processing(one) for one in messages} if _is_heard() else {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """One step that they take together: a span by itself, with links to theirs; where it fails, they all end."""
        recorded = [one.get_span_context() for one in self._spans.values() if one.is_recording()]
        if not recorded:
            yield
            return
        with _TRACER.start_as_current_span(
            name,
            context=_NOWHERE,
            attributes={"messaging.batch.message_count": len(self._spans)},
            links=[Link(one) for one in recorded],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                for one in (span, *self._spans.values()):
                    _fail(one, type(error).__name__)
                self._end()
                raise

    def end(self, refusals: Mapping[int, Refusal]) -> None:
        """End the spans: each message is now in the index, or is a dead letter."""
        for seq, span in self._spans.items():
            refusal = refusals.get(seq)
            span.set_attribute("precedent.result", "applied" if refusal is None else "dead_letter")
            if refusal is not None:
                _fail(span, str(refusal.reason))
        self._end()

    def _end(self) -> None:
        for span in self._spans.values():
            span.end()


@contextmanager
def answering(endpoint: Endpoint, packet: Packet) -> Iterator[None]:
    """A span from a question to its answer or to the QuestionFailed that leaves the block."""
    template = endpoint.subject.replace("*", "{collection}")
    with _TRACER.start_as_current_span(
        f"process {template}",
        context=_origin(packet.headers),
        kind=SpanKind.SERVER,
        attributes=_attributes(template, packet.subject, in_collection=endpoint.per_collection),
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except QuestionFailed as error:
            if error.code >= _SERVERS_FAULT:
                _fail(span, str(error.reason))
            else:
                span.set_attribute("error.type", str(error.reason))
            raise
        except BaseException as error:
            _fail(span, type(error).__name__)
            raise


def carried() -> dict[str, str]:
    """Headers with the context of the current span; empty if there is none."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def flush(seconds: float) -> None:
    """Have what was recorded exported, as far as it goes within so many seconds; blocks."""
    exporting = getattr(trace.get_tracer_provider(), "force_flush", None)
    if exporting is not None:
        # Its own limit is not kept where nobody takes the spans.
        thread = threading.Thread(target=exporting, daemon=True)
        thread.start()
        thread.join(seconds)


def _is_heard() -> bool:
    # OpenTelemetry's own way to record nothing costs microseconds for each message.
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def _processing(message: LogMessage) -> Span:
    template = log_subject_template(message.subject)
    attributes = _attributes(template, message.subject, in_collection=True)
    attributes["messaging.consumer.group.name"] = CONSUMER
    attributes["precedent.seq"] = message.seq
    message_id = message.headers.get(MSG_ID_HEADER)
    if message_id and _is_plain(message_id[-1]):
        attributes["messaging.message.id"] = message_id[-1]
    return _TRACER.start_span(
        f"process {template}", context=_origin(message.headers), kind=SpanKind.CONSUMER, attributes=attributes
    )


def _attributes(template: str, subject: str, *, in_collection: bool) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": "nats",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.template": template,
    }
    if _is_plain(subject):
        attributes["messaging.destination.name"] = subject
    collection = collection_of(subject) if in_collection else None
    if collection is not None:
        attributes["precedent.collection"] = collection
    return attributes


def _origin(headers: Mapping[str, str] | Mapping[str, list[str]]) -> Context:
    """The sender's context; of no trace where the headers say none, or nonsense."""
    carrier = {name.lower(): value for name, value in headers.items() if name.lower() in TRACE_HEADERS}
    return _W3C.extract(carrier, context=_NOWHERE) if carrier else _NOWHERE


def _is_plain(text: str) -> bool:
    return len(text) <= _MAX_CHARS and text.isascii() and text.isprintable()


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


NO_BATCH: Final = Batch(())
