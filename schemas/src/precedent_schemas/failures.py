"""How failures look on the wire: the error body of a reply, and why a message became a dead letter."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from precedent_schemas.limits import MAX_DETAIL_CHARS

_PRINTABLE: Final = range(0x20, 0x7F)


class ErrorReason(StrEnum):
    """Stable slug of a failed question; each has one numeric code."""

    INVALID_REQUEST = "invalid_request"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    TOO_LARGE = "too_large"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"
    UNAVAILABLE = "unavailable"
    NOT_INDEXED_YET = "not_indexed_yet"


ERROR_CODES: Final[dict[ErrorReason, int]] = {
    ErrorReason.INVALID_REQUEST: 400,
    ErrorReason.NOT_FOUND: 404,
    ErrorReason.REFUSED: 409,
    ErrorReason.TOO_LARGE: 413,
    ErrorReason.OVERLOADED: 429,
    ErrorReason.INTERNAL: 500,
    ErrorReason.UNAVAILABLE: 503,
    ErrorReason.NOT_INDEXED_YET: 504,
}
"""Code of each reason, as in the header `Nats-Service-Error-Code`."""


class DeadReason(StrEnum):
    """Why a message of the log cannot be indexed."""

    MALFORMED = "malformed"
    """Not one JSON object in UTF-8 without duplicate keys, NaN, infinities or lone surrogates."""
    INVALID = "invalid"
    """JSON, but a field, the subject's collection or its kind breaks a rule."""
    TOO_LARGE = "too_large"
    """A text, or a message, beyond its limit."""
    UNPROCESSABLE = "unprocessable"
    """Well-formed, yet it cannot be indexed: too many collections, or it broke the indexer repeatedly."""


class FieldProblem(BaseModel):
    """One thing wrong with a request or an event."""

    model_config = ConfigDict(frozen=True)

    field: Annotated[str, Field(description="Path of the field, as in `filter.severity.min`; empty for the whole")]
    message: Annotated[str, Field(description="What is wrong and what would be right")]


class ErrorDetail(BaseModel):
    """What went wrong, for programs (`code`, `reason`) and for people (`message`)."""

    model_config = ConfigDict(frozen=True)

    code: Annotated[int, Field(description="As in the header Nats-Service-Error-Code")]
    reason: Annotated[str, Field(description="Stable slug", examples=[str(reason) for reason in ErrorReason])]
    message: str
    details: list[FieldProblem] = []


class ErrorBody(BaseModel):
    """Body of every reply that is an error."""

    model_config = ConfigDict(frozen=True)

    error: ErrorDetail


def ascii_detail(text: str) -> str:
    """`text` as printable ASCII of at most 256 characters, so that it fits a header and spoofs no terminal."""
    safe = "".join(char if ord(char) in _PRINTABLE else "?" for char in text)
    return safe if len(safe) <= MAX_DETAIL_CHARS else safe[: MAX_DETAIL_CHARS - 3] + "..."
