"""Messages of the bus and of the log, and what the server says of the log and of its consumer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from precedent_schemas.failures import DeadReason


@dataclass(frozen=True, slots=True)
class Packet:
    """One message off the bus."""

    subject: str
    reply: str
    data: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Tally:
    """Statistics of one endpoint, kept here because its handler returns before the work is done."""

    errors: int = 0
    last_error: str = ""
    processing_ns: int = 0


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message of the log.

    Attributes:
        seq: its stream sequence.
        stored_at: when the log stored it, UTC.
        deliveries: how often it was given to this consumer; 1 when it was read from the log directly.
    """

    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, list[str]]
    stored_at: datetime
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """The log as the server has it; `created` tells one log from another of the same name."""

    created: str
    first_seq: int
    last_seq: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """The durable consumer as the server has it.

    Attributes:
        index_uuid: of the index that it feeds.
        instance: the process that has claimed it for that index.
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
