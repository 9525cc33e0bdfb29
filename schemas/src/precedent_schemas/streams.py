"""The two streams and the durable consumer, in the words of the JetStream API (durations in nanoseconds).

Every setting of a stream is listed: required, refused or tolerated, each with its reason. The indexer checks them at
its start and while it runs. What is tolerated is the operator's.
"""

from dataclasses import dataclass
from enum import StrEnum
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


class Rule(StrEnum):
    """What becomes of a setting of a stream."""

    REQUIRED = "required"
    """It must have the value of the stream's configuration above."""
    REFUSED = "refused"
    """It must be off."""
    TOLERATED = "tolerated"
    """It is the operator's."""


@dataclass(frozen=True, slots=True)
class StreamSetting:
    """One setting, by its name in the JetStream API, and why it has its rule."""

    name: str
    rule: Rule
    reason: str


STREAM_SETTINGS: Final = (
    StreamSetting("name", Rule.REQUIRED, "clients and the indexer ask for it by this name"),
    StreamSetting("subjects", Rule.REQUIRED, "one stream holds all of it, in one order, and nothing else"),
    StreamSetting("storage", Rule.REQUIRED, "what is acknowledged survives a restart"),
    StreamSetting("retention", Rule.REQUIRED, "what was read stays: every index is built again from it"),
    StreamSetting("discard", Rule.REQUIRED, "a full stream refuses publishers; it never drops history in silence"),
    StreamSetting("max_msg_size", Rule.REQUIRED, "what is larger is refused at the publisher, where it can be mended"),
    StreamSetting("duplicate_window", Rule.REQUIRED, "a repeated delivery of one publish call is stored once"),
    StreamSetting("compression", Rule.REQUIRED, "events repeat: the disk is sized by it"),
    StreamSetting("allow_direct", Rule.REQUIRED, "the log is read in batches, from every replica"),
    StreamSetting("no_ack", Rule.REFUSED, "no publish would ever be acknowledged"),
    StreamSetting("sealed", Rule.REFUSED, "nothing could be published or deleted any more, for ever"),
    StreamSetting("mirror", Rule.REFUSED, "a mirror takes no messages of its own"),
    StreamSetting("deny_delete", Rule.REFUSED, "what is deleted is erased message by message"),
    StreamSetting("deny_purge", Rule.REFUSED, "what is cleared is purged"),
    StreamSetting("max_msgs_per_subject", Rule.REFUSED, "it would drop history in silence"),
    StreamSetting("discard_new_per_subject", Rule.REFUSED, "it would stop the publishers of single kinds"),
    StreamSetting("allow_rollup_hdrs", Rule.REFUSED, "one header of one message would erase its subject's history"),
    StreamSetting("subject_transform", Rule.REFUSED, "events would be stored under other collections or kinds"),
    StreamSetting("republish", Rule.REFUSED, "copies would leave on subjects that neither roles nor deletions know"),
    StreamSetting(
        "subject_delete_marker_ttl", Rule.REFUSED, "the server's markers would be stored as if they were events"
    ),
    StreamSetting("allow_msg_counter", Rule.REFUSED, "every message would have to be a counter"),
    StreamSetting("allow_msg_schedules", Rule.REFUSED, "messages would come again by themselves, with other content"),
    StreamSetting("persist_mode", Rule.REFUSED, "with `async`, what is acknowledged may be lost"),
    StreamSetting("max_bytes", Rule.TOLERATED, "a bound of the disk; publishers are refused beyond it"),
    StreamSetting("max_msgs", Rule.TOLERATED, "the same, by messages"),
    StreamSetting("max_age", Rule.TOLERATED, "the log forgets, and the index follows"),
    StreamSetting("allow_msg_ttl", Rule.TOLERATED, "a publisher gives its own message an end, and the index follows"),
    StreamSetting("num_replicas", Rule.TOLERATED, "servers that keep it"),
    StreamSetting("placement", Rule.TOLERATED, "which servers these are"),
    StreamSetting("sources", Rule.TOLERATED, "what has no legal subject becomes a dead letter"),
    StreamSetting("mirror_direct", Rule.TOLERATED, "it concerns mirrors alone"),
    StreamSetting("first_seq", Rule.TOLERATED, "sequences only need to grow"),
    StreamSetting("max_consumers", Rule.TOLERATED, "one is needed: the indexer's"),
    StreamSetting("consumer_limits", Rule.TOLERATED, "as long as they allow the indexer's consumer"),
    StreamSetting("allow_atomic", Rule.TOLERATED, "batches are stored in order, each message once"),
    StreamSetting("allow_batched", Rule.TOLERATED, "the same"),
    StreamSetting("description", Rule.TOLERATED, "for people"),
    StreamSetting("metadata", Rule.TOLERATED, "for people and tools"),
)
"""Every setting that the server knows."""


def contradictions(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What in the settings `found` of a stream contradicts those `wanted`, or may not be set: one line each."""
    lines = []
    for setting in STREAM_SETTINGS:
        value = found.get(setting.name)
        if setting.rule is Rule.REQUIRED and not _same(value, wanted[setting.name]):
            must = shown(setting.name, wanted[setting.name])
            lines.append(f"{setting.name} is {shown(setting.name, value)}, must be {must}: {setting.reason}")
        if setting.rule is Rule.REFUSED and value not in _OFF:
            lines.append(f"{setting.name} is {shown(setting.name, value)}, must not be set: {setting.reason}")
    return lines


_OFF: Final[tuple[Any, ...]] = (None, False, -1, 0, "", "default", [], {})
"""How the server words a setting that is off."""


def _same(found: object, wanted: object) -> bool:
    if isinstance(wanted, list):
        return isinstance(found, list) and sorted(found) == sorted(wanted)
    return found == wanted


def shown(name: str, value: object) -> str:
    """A value as people read it."""
    if name in {"duplicate_window", "ack_wait"} and isinstance(value, int):
        return f"{value / _NS:g} s"
    return "not set" if value is None else repr(value)
