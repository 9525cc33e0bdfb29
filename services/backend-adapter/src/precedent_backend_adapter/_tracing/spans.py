"""The one door to OpenTelemetry: spans of what is sent, by its conventions for messaging.

Provider, sampling and export are the application's. A span tells names on the bus and, by the class of its exception,
how a call ended: never what an event says, nor the text of an exception.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from precedent_backend_adapter._publishing.publications import carrying
from precedent_backend_adapter.receipts import Publication
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import MSG_ID_HEADER, TRACE_HEADERS, log_subject_template

_W3C: Final = TraceContextTextMapPropagator()
_NOWHERE: Final = Context()
_TRACER: Final = trace.get_tracer("precedent_backend_adapter")


@contextmanager
def publishing(publication: Publication, *, again: bool) -> Iterator[Publication]:
    """As `_tracing.publishing`; where the context of another span is sent, this one has a link to it."""
    keeps = again or TRACE_HEADERS[0] in publication.headers
    links = _links(publication.headers)
    template = log_subject_template(publication.subject)
    with _span("publish", SpanKind.PRODUCER, template, publication.subject, links) as span:
        span.set_attribute("messaging.message.id", publication.headers[MSG_ID_HEADER])
        yield publication if keeps else carrying(publication, carried())


@contextmanager
def asking(endpoint: Endpoint, collection: str | None) -> Iterator[None]:
    """As `_tracing.asking`."""
    template = endpoint.subject.replace("*", "{collection}")
    with _span("request", SpanKind.CLIENT, template, endpoint.subject.replace("*", collection or ""), ()):
        yield


def carried() -> Mapping[str, str]:
    """As `_tracing.carried`."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def _links(headers: Mapping[str, str]) -> Sequence[Link]:
    origin = trace.get_current_span(_W3C.extract(headers, context=_NOWHERE)).get_span_context()
    return (Link(origin),) if origin.is_valid else ()


@contextmanager
def _span(operation: str, kind: SpanKind, template: str, subject: str, links: Sequence[Link]) -> Iterator[Span]:
    attributes = {
        "messaging.system": "nats",
        "messaging.operation.name": operation,
        "messaging.operation.type": "send",
        "messaging.destination.name": subject,
        "messaging.destination.template": template,
    }
    # The library's own record of an exception holds its text.
    with _TRACER.start_as_current_span(
        f"{operation} {template}",
        kind=kind,
        attributes=attributes,
        links=links,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
            raise
