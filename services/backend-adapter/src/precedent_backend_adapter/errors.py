"""Everything that can go wrong, as a caller sees it.

    PrecedentError
    ├── Misconfigured      settings that cannot work (also a ValueError)
    │   └── NotTrusted     the TLS handshake does not fit them
    ├── NotDelivered       publish: the log certainly does not have it
    ├── DeliveryUnknown    publish: the log may have it; republishing is safe
    ├── Refused            this call, as it is, will never succeed
    │   ├── NotPermitted   the server does not let these credentials do it
    │   ├── NotFound       404: no such collection or event
    │   ├── Conflict       409: what it builds on was refused, or stands against it
    │   └── TooLarge       413: the request, or the answer to it
    ├── Overloaded         429: the indexer has too much to do; later
    ├── IndexerFailed      500: a fault inside the indexer; its log says which
    ├── Unavailable        503: no service there to answer, or no answer in time; later
    ├── NotIndexedYet      504: the index has not reached `after` within `wait`
    │   └── NotDeliveredYet it waits in the outbox: the log does not have it yet
    ├── OutboxUnavailable  the file of the outbox cannot be used
    └── ProtocolError      an answer that is none: the two sides do not fit

No exception of another library leaves this package; what lies below is chained as `__cause__`.
"""

from collections.abc import Sequence
from enum import StrEnum

from precedent_backend_adapter.receipts import Publication
from precedent_schemas import FieldProblem
from precedent_schemas.failures import ERROR_CODES, ErrorReason


class PrecedentError(Exception):
    """Base of everything that this package raises."""


class Misconfigured(PrecedentError, ValueError):
    """Settings that cannot work.

    Attributes:
        found: every problem, each with the value and the remedy.
    """

    def __init__(self, found: Sequence[str]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(self.found))


class NotTrusted(Misconfigured):
    """The server's certificate is not one that the settings trust, or the server does not offer the TLS they demand."""


class NotDeliveredReason(StrEnum):
    """Why the log does not have it."""

    UNREACHABLE = "unreachable"
    """No connection, or no stream behind the subject, until the deadline. Later it may succeed."""
    LOG_FULL = "log_full"
    """The stream is at its limit or the disk is full. The operator must make room first."""
    NOT_PERMITTED = "not_permitted"
    """The credentials may not publish there."""
    TOO_LARGE = "too_large"
    """Beyond the limit of the log or of the server."""
    REJECTED = "rejected"
    """The server refused it for another reason, named in the message."""
    OUTBOX_FULL = "outbox_full"
    """The outbox is at its bound, or its disk is full: it did not take it."""
    OUTBOX_FAILED = "outbox_failed"
    """The outbox could not write it, for a reason named in the message."""


class NotDelivered(PrecedentError):
    """The log certainly does not have it.

    Attributes:
        reason: why.
        pending: exactly what was to be sent; `republish` sends it once the reason is gone.
    """

    def __init__(self, message: str, reason: NotDeliveredReason, pending: Publication) -> None:
        self.reason = reason
        self.pending = pending
        super().__init__(message)


class DeliveryUnknown(PrecedentError):
    """It was sent and no acknowledgement came: the log may have it.

    Attributes:
        pending: exactly what was sent; `republish(pending)` within ten minutes stores it at most once.
    """

    def __init__(self, message: str, pending: Publication) -> None:
        self.pending = pending
        super().__init__(message)


class Refused(PrecedentError):
    """This call, as it is, will never succeed.

    Attributes:
        code: number of the reason, as on the wire; 0 where no service was asked.
        reason: stable slug of the reason, as on the wire.
        problems: the fields that are wrong, if fields are.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = ErrorReason.INVALID_REQUEST,
        code: int = ERROR_CODES[ErrorReason.INVALID_REQUEST],
        problems: Sequence[FieldProblem] = (),
    ) -> None:
        self.code = code
        self.reason = str(reason)
        self.problems = list(problems)
        super().__init__(message)


class NotPermitted(Refused):
    """The server does not let these credentials do it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="not_permitted", code=0)


class NotFound(Refused):
    """404: no such collection or event."""


class Conflict(Refused):
    """409: what it builds on was refused, or stands against it; the message says why."""


class TooLarge(Refused):
    """413: the request, or the answer to it; the message names what fits."""


class Overloaded(PrecedentError):
    """429: the indexer has too much to do; try later."""


class IndexerFailed(PrecedentError):
    """500: a fault inside the indexer; its log says which."""


class Unavailable(PrecedentError):
    """503: no service there to answer, or no answer in time; try later."""


class NotIndexedYet(PrecedentError):
    """504: the index has not reached `after` within `wait`; try later."""


class NotDeliveredYet(NotIndexedYet):
    """It waits in the outbox, safe on disk: the log does not have it yet, so that it has no sequence."""


class OutboxUnavailable(PrecedentError):
    """The file of the outbox cannot be used; the message names it and the remedy."""


class ProtocolError(PrecedentError):
    """An answer that is none: the versions of the two sides do not fit."""


def invalid(problems: Sequence[FieldProblem]) -> Refused:
    """What the service would answer to arguments with these problems."""
    shown = "; ".join(f"{one.field}: {one.message}" if one.field else one.message for one in problems)
    return Refused(f"invalid request: {shown}", problems=problems)
