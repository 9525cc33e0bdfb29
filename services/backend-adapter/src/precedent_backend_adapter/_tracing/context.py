# ruff: noqa: PLC0415 -- a backend that does not trace neither needs OpenTelemetry nor pays for it
"""Each call as a span where the application traces, and nothing at all where it does not.

An application that traces has imported OpenTelemetry before it publishes or asks. If it has not, nothing is imported
here either.
"""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

from precedent_backend_adapter.receipts import Publication
from precedent_schemas.catalogue import Endpoint


def publishing(publication: Publication, *, again: bool = False) -> AbstractContextManager[Publication]:
    """A span around the sending of `publication`; it gives what is to be sent.

    That has the context of the span in its headers, unless it has one already (its caller's), or goes out `again`: then
    it is sent as it is.
    """
    if not _is_traced():
        return nullcontext(publication)
    from precedent_backend_adapter._tracing import spans

    return spans.publishing(publication, again=again)


def asking(endpoint: Endpoint, collection: str | None) -> AbstractContextManager[None]:
    """A span around one question and its answer."""
    if not _is_traced():
        return nullcontext()
    from precedent_backend_adapter._tracing import spans

    return spans.asking(endpoint, collection)


def carried() -> Mapping[str, str]:
    """The headers that carry the context of the span in hand; none if the application does not trace."""
    if not _is_traced():
        return {}
    from precedent_backend_adapter._tracing import spans

    return spans.carried()


def _is_traced() -> bool:
    return "opentelemetry.trace" in sys.modules
