"""The two streams and the durable consumer, in the words of the JetStream API (durations in nanoseconds).

These are the settings that must hold. Replicas, max_bytes, max_age, placement and metadata are the
operator's: they are not listed here, and nobody checks them.
"""

from typing import Any, Final

from precedent_schemas.limits import (
    ACK_WAIT_S,
    DUPLICATE_WINDOW_S,
    MAX_ACK_PENDING,
    MAX_DEAD_LETTER_BYTES,
    MAX_LOG_MESSAGE_BYTES,
)
from precedent_schemas.subjects import (
    CONSUMER,
    DEAD_LETTERS_STREAM,
    DEAD_PREFIX,
    DELETIONS_PREFIX,
    EVENTS_PREFIX,
    EVENTS_STREAM,
    OUTCOMES_PREFIX,
)

_NS: Final = 1_000_000_000

_COMMON: Final[dict[str, Any]] = {
    "storage": "file",
    "retention": "limits",
    "compression": "s2",
    "allow_direct": True,
    "duplicate_window": DUPLICATE_WINDOW_S * _NS,
    # A full log refuses a publisher; dropping the oldest instead would lose history in silence.
    "discard": "new",
}

EVENTS_STREAM_CONFIG: Final[dict[str, Any]] = {
    "name": EVENTS_STREAM,
    "subjects": [f"{EVENTS_PREFIX}.>", f"{OUTCOMES_PREFIX}.*", f"{DELETIONS_PREFIX}.*"],
    "max_msg_size": MAX_LOG_MESSAGE_BYTES,
    **_COMMON,
}
"""The log."""

DEAD_LETTERS_STREAM_CONFIG: Final[dict[str, Any]] = {
    "name": DEAD_LETTERS_STREAM,
    "subjects": [f"{DEAD_PREFIX}.>"],
    "max_msg_size": MAX_DEAD_LETTER_BYTES,
    **_COMMON,
}
"""What was refused."""

STREAM_CONFIGS: Final = (EVENTS_STREAM_CONFIG, DEAD_LETTERS_STREAM_CONFIG)

CONSUMER_CONFIG: Final[dict[str, Any]] = {
    "durable_name": CONSUMER,
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": ACK_WAIT_S * _NS,
    # Redelivered for ever: the indexer, not a counter on the server, decides what becomes a dead letter.
    "max_deliver": -1,
    "replay_policy": "instant",
    "max_ack_pending": MAX_ACK_PENDING,
}
"""The indexer's consumer on the log."""
