"""From the bytes of an answer to a model or to the error that it stands for."""

from typing import Final, TypeVar

from pydantic import BaseModel

from precedent_backend_adapter._transport import Reply
from precedent_backend_adapter.errors import (
    Conflict,
    IndexerFailed,
    NotFound,
    NotIndexedYet,
    Overloaded,
    PrecedentError,
    ProtocolError,
    Refused,
    TooLarge,
    Unavailable,
)
from precedent_schemas import DecodeError, ErrorBody
from precedent_schemas.codec import decode
from precedent_schemas.failures import ERROR_CODES, ErrorDetail, ErrorReason
from precedent_schemas.subjects import SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER

Model = TypeVar("Model", bound=BaseModel)

_REFUSALS: Final[dict[int, type[Refused]]] = {
    ERROR_CODES[ErrorReason.NOT_FOUND]: NotFound,
    ERROR_CODES[ErrorReason.REFUSED]: Conflict,
    ERROR_CODES[ErrorReason.TOO_LARGE]: TooLarge,
}
_STATES: Final[dict[int, type[PrecedentError]]] = {
    ERROR_CODES[ErrorReason.OVERLOADED]: Overloaded,
    ERROR_CODES[ErrorReason.INTERNAL]: IndexerFailed,
    ERROR_CODES[ErrorReason.UNAVAILABLE]: Unavailable,
    ERROR_CODES[ErrorReason.NOT_INDEXED_YET]: NotIndexedYet,
}
_FIRST_SERVER_CODE: Final = 500


def read(model: type[Model], reply: Reply, subject: str) -> Model:
    """The answer to a question that was asked on `subject`.

    Raises:
        PrecedentError: the one that the service answered with, or ProtocolError.
    """
    if SERVICE_ERROR_CODE_HEADER in reply.headers or SERVICE_ERROR_HEADER in reply.headers:
        raise as_error(_detail(reply, subject))
    try:
        return decode(model, reply.data)
    except DecodeError as error:
        raise ProtocolError(f"the answer on {subject} is no {model.__name__}: {error}") from error


def as_error(detail: ErrorDetail) -> PrecedentError:
    """The exception that stands for an error on the wire; an unknown code falls to its hundred."""
    if detail.code in _STATES:
        return _STATES[detail.code](detail.message)
    if detail.code >= _FIRST_SERVER_CODE:
        return IndexerFailed(f"{detail.code} {detail.reason}: {detail.message}")
    kind = _REFUSALS.get(detail.code, Refused)
    return kind(detail.message, reason=detail.reason, code=detail.code, problems=detail.details)


def _detail(reply: Reply, subject: str) -> ErrorDetail:
    try:
        return decode(ErrorBody, reply.data).error
    except DecodeError as error:
        # Not the indexer's own words, yet an error by the conventions of NATS services.
        code = reply.headers.get(SERVICE_ERROR_CODE_HEADER, "")
        if not (code.isascii() and code.isdigit()):
            raise ProtocolError(f"the error on {subject} has no code that is a number: {code!r:.60}") from error
        return ErrorDetail(code=int(code), reason="unknown", message=reply.headers.get(SERVICE_ERROR_HEADER, ""))
