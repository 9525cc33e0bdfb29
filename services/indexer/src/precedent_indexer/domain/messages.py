"""Messages of the bus and of the log, and what the server says of the log and of its consumer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from precedent_schemas.failures import DeadReason


@dataclass(frozen=True, slots=True)
class Packet:
    """One message from the bus."""

    subject: str
    reply: str
    data: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Tally:
    """Statistics of one endpoint; its handler returns before the work is done, so the library cannot count them."""

    errors: int = 0
    last_error: str = ""
    processing_ns: int = 0


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message of the log.

    Attributes:
        seq: its stream sequence.
        stored_at: when the log stored it, UTC.
        deliveries: how often the server has delivered it to the consumer; 1 if it was read from the log directly.
    """

    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, list[str]]
    stored_at: datetime
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """The stream of the log; `created` distinguishes it from another stream of the same name."""

    created: str
    first_seq: int
    last_seq: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """State of the durable consumer on the server.

    Attributes:
        delivered_seq: highest sequence that the server has delivered.
        pending: messages that were not delivered yet.
        ack_pending: messages that were delivered and not acknowledged.
        redelivered: messages that were delivered more than once.
        index_uuid: UUID of the index that the consumer feeds; None if no index has claimed it.
        instance: name of the process that has claimed it for that index.
    """

    delivered_seq: int
    pending: int
    ack_pending: int
    redelivered: int
    index_uuid: str | None
    instance: str | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message of the log is not indexed; `detail` is printable ASCII."""

    reason: DeadReason
    detail: str
