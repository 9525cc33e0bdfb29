"""What this package asks of a transport, and how a transport says that it failed.

The client decides what a fault means for a call; the transport only knows what happened on the wire.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class FaultKind(Enum):
    """What happened on the wire: (may the message have arrived and taken effect, may a retry help)."""

    def __init__(self, may_have_arrived: bool, worth_retrying: bool, _nr: int) -> None:  # noqa: FBT001 -- a table
        self.may_have_arrived = may_have_arrived
        self.worth_retrying = worth_retrying

    # The number keeps members with the same two answers apart: Enum makes equal values aliases.
    NO_ANSWER = (True, True, 1)
    """Sent, and no answer in time."""
    CUT = (True, True, 2)
    """Sent, and the connection broke."""
    DEAF = (True, False, 3)
    """Sent, and the server does not let us hear answers."""
    UNEXPECTED = (True, False, 4)
    """Something answered that makes no sense."""
    NOT_SENT = (False, True, 5)
    """There was no connection to send it on."""
    NO_RESPONDERS = (False, True, 6)
    """No service listens on the subject."""
    BUSY = (False, True, 7)
    """The server said: not now."""
    LOG_FULL = (False, False, 8)
    """The stream or its disk has no room."""
    TOO_LARGE = (False, False, 9)
    """Beyond a limit of the server or of the stream."""
    NOT_PERMITTED = (False, False, 10)
    """The credentials are wrong or do not allow it."""
    REJECTED = (False, False, 11)
    """The server, or the library, refused it for another reason."""
    CLOSED = (False, False, 12)
    """The client is closed."""
    MISCONFIGURED = (False, False, 13)
    """A file of the configuration cannot be used."""
    NOT_TRUSTED = (False, False, 14)
    """The TLS handshake shows or asks for something else than the configuration says."""


class Fault(Exception):
    """A transport failed; the message is for people."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Ack:
    """The log's acknowledgement."""

    seq: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A service's answer."""

    data: bytes
    headers: Mapping[str, str]


class Transport(Protocol):
    """A connection that comes back by itself when it is lost."""

    @property
    def max_payload(self) -> int:
        """Most bytes of headers and payload that the server takes in one message."""

    async def ready(self) -> None:
        """Return as soon as there is a connection; waits for ever while there is none.

        Raises:
            Fault: there will never be one again, or none until a setting or a permission is changed.
        """

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Send once to the log and wait for the acknowledgement.

        Raises:
            Fault: none came.
        """

    async def request(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send once to a service and wait for the answer.

        Raises:
            Fault: none came.
        """

    async def close(self) -> None:
        """Leave for good; what is in flight fails."""
