"""From an event or an outcome to the exact bytes and headers that are sent."""

import dataclasses
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from precedent_backend_adapter.errors import NotDelivered, NotDeliveredReason, invalid
from precedent_backend_adapter.receipts import Publication
from precedent_schemas import DecodeError, FieldProblem, Outcome, SecurityEvent
from precedent_schemas.codec import decode, decode_event, encode_log_message
from precedent_schemas.fields import parse_time
from precedent_schemas.limits import MAX_LOG_MESSAGE_BYTES
from precedent_schemas.subjects import EVENTS_STREAM, MSG_ID_HEADER, TRACE_HEADERS, is_collection, outcome_subject

EXPECTED_STREAM_HEADER: Final = "Nats-Expected-Stream"
"""The server refuses the message when another stream has taken over the subject."""
_MESSAGE_ID_BYTES: Final = 16
_HEADER_FRAME: Final = len("NATS/1.0\r\n\r\n")
_HEADER_LINE_FRAME: Final = len(": \r\n")


def of_event(event: SecurityEvent, headers: Mapping[str, str] | None) -> Publication:
    """An event, with an id and a time drawn where it has none.

    Raises:
        Refused: the event, or a trace header, is not what the indexer would take.
    """
    _check_type("event", event, SecurityEvent)
    event_id = event.id or uuid.uuid4().hex
    whole = event.model_copy(update={"id": event_id, "occurred_at": event.occurred_at or _now()})
    try:
        payload = encode_log_message(whole)
    except ValueError as error:
        raise invalid([FieldProblem(field="", message=f"cannot be written as JSON: {error}")]) from error
    publication = _publication(event.subject, payload, headers, event.collection, event_id)
    _check_size(publication)
    try:
        # What was built around validation would otherwise become a dead letter, and its publisher would not hear of it.
        decode_event(payload)
    except DecodeError as error:
        raise invalid(error.problems) from error
    return publication


def of_outcome(outcome: Outcome, collection: str, headers: Mapping[str, str] | None) -> Publication:
    """An outcome, with the time of the decision drawn where it has none.

    Raises:
        Refused: the outcome, its collection or a trace header is not what the indexer would take.
    """
    _check_type("outcome", outcome, Outcome)
    check_collection(collection)
    whole = outcome.model_copy(update={"decided_at": outcome.decided_at or _now()})
    try:
        payload = encode_log_message(whole)
    except ValueError as error:
        raise invalid([FieldProblem(field="", message=f"cannot be written as JSON: {error}")]) from error
    publication = _publication(outcome_subject(collection), payload, headers, collection, outcome.event_id)
    _check_size(publication)
    try:
        decode(Outcome, payload)
    except DecodeError as error:
        raise invalid(error.problems) from error
    return publication


def check_pending(publication: object) -> None:
    """Refuse what `republish` cannot take.

    Raises:
        Refused: it is no publication.
    """
    _check_type("pending", publication, Publication)


def _check_type(name: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted):
        message = f"should be a {wanted.__name__} (got {type(value).__name__} {value!r:.60})"
        raise invalid([FieldProblem(field=name, message=message)])


def carrying(publication: Publication, headers: Mapping[str, str]) -> Publication:
    """The same with `headers` of a trace beside its own; without them where they would make it too large."""
    whole = dataclasses.replace(publication, headers={**publication.headers, **headers})
    return whole if size(whole.payload, whole.headers) <= MAX_LOG_MESSAGE_BYTES else publication


def check_collection(name: object) -> None:
    """Refuse what is no collection before it becomes part of a subject.

    Raises:
        Refused: naming it.
    """
    if not isinstance(name, str) or not is_collection(name):
        message = f"should be 3 to 63 of [a-z0-9_-], beginning and ending with [a-z0-9] (got {name!r:.60})"
        raise invalid([FieldProblem(field="collection", message=message)])


def size(payload: bytes, headers: Mapping[str, str]) -> int:
    """Bytes of a message as the server counts them."""
    lines = (len(name.encode()) + len(value.encode()) + _HEADER_LINE_FRAME for name, value in headers.items())
    return len(payload) + (sum(lines) + _HEADER_FRAME if headers else 0)


def _now() -> datetime:
    return parse_time(datetime.now(UTC))


def _publication(
    subject: str, payload: bytes, headers: Mapping[str, str] | None, collection: str, event_id: str
) -> Publication:
    message_id = f"{collection}:{event_id}:{secrets.token_hex(_MESSAGE_ID_BYTES)}"
    own = {MSG_ID_HEADER: message_id, EXPECTED_STREAM_HEADER: EVENTS_STREAM}
    return Publication(subject, payload, {**_trace({} if headers is None else headers), **own}, collection, event_id)


def _trace(headers: Mapping[str, str]) -> dict[str, str]:
    # Only these two: a carrier may hold others, and a header such as Nats-Rollup would change what the log does.
    _check_type("headers", headers, Mapping)
    named = {name.lower(): value for name, value in headers.items() if isinstance(name, str)}
    trace = {name: value for name, value in named.items() if name in TRACE_HEADERS}
    for name, value in trace.items():
        if not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise invalid([FieldProblem(field=f"headers.{name}", message="should be printable ASCII")])
    return trace


def _check_size(publication: Publication) -> None:
    too_large(publication, MAX_LOG_MESSAGE_BYTES, "the log")


def too_large(publication: Publication, limit: int, whose: str) -> None:
    """Refuse what is beyond `limit` before it is sent: beyond the server's, it would cost the connection.

    Raises:
        NotDelivered: naming both sizes.
    """
    found = size(publication.payload, publication.headers)
    if found > limit:
        message = (
            f"{publication.id!r} of {publication.collection!r} was not sent: it has {found} bytes with its headers, "
            f"{whose} takes {limit}; shorten the text or the attributes"
        )
        raise NotDelivered(message, NotDeliveredReason.TOO_LARGE, publication)
