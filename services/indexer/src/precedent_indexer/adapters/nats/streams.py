"""Streams and consumer on the server: created where they are missing, otherwise checked to the letter."""

import asyncio
import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import structlog

from precedent_indexer.adapters.nats.bus import HOST_KEY, Bus
from precedent_indexer.adapters.nats.deliveries import INDEX_UUID_KEY, INSTANCE_KEY, LOG_KEY
from precedent_indexer.errors import BusUnavailable, JetStreamRefused, NotPermitted, StartDenied, StartRefused
from precedent_indexer.settings import Settings
from precedent_schemas.streams import CONSUMER_CONFIG, STREAM_CONFIGS
from precedent_schemas.subjects import CONSUMER, DEAD_LETTERS_STREAM, EVENTS_STREAM, SERVICE

log = structlog.get_logger(__name__)

_STREAM_NOT_FOUND: Final = 10059
_CONSUMER_NOT_FOUND: Final = 10014
_UNAVAILABLE: Final = 503
_LEADERLESS: Final = frozenset({10008, 10009})
_LEADER_PAUSE_S: Final = 0.25
_LED: Final = (
    *(f"STREAM.INFO.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}",
)
"""What each has a leader of its own in a cluster."""
_PING_WAIT_S: Final = 1.5
_TUNABLE: Final = frozenset({"max_ack_pending", "deliver_policy", "durable_name"})
"""Parts of the consumer that may differ: where it started, and how far the operator lets it run ahead."""
_FORBIDDEN_IN_STREAMS: Final = {
    "deny_delete": "what is deleted is erased message by message",
    "deny_purge": "what is cleared is purged",
    "max_msgs_per_subject": "it would drop history in silence",
}
_FORBIDDEN_IN_CONSUMER: Final = {
    "backoff": "it overrides ack_wait",
    "filter_subject": "the indexer reads the whole log",
    "filter_subjects": "the indexer reads the whole log",
    "deliver_subject": "the indexer pulls",
    "headers_only": "events would arrive without their bodies",
}

Choices = Mapping[str, Mapping[str, int]]
"""Settings that are the operator's, by the name of the stream: given where it is created, never checked."""
_NO_CHOICES: Final[Choices] = MappingProxyType({})


def operators_choices(settings: Settings) -> Choices:
    """Bounds and replicas of the streams where they are created; afterwards `nats stream edit` changes them."""
    bounds = {
        EVENTS_STREAM: settings.precedent_log_max_bytes,
        DEAD_LETTERS_STREAM: settings.precedent_dead_letters_max_bytes,
    }
    replicas = {"num_replicas": settings.precedent_replicas}
    return {stream: replicas if limit is None else {**replicas, "max_bytes": limit} for stream, limit in bounds.items()}


async def await_leaders(bus: Bus, patience_s: float) -> None:
    """Wait while a cluster elects its leaders, as it does for seconds when it begins and when a server is lost.

    After `patience_s` seconds it is for what comes next to say that there is none.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            for one in _LED:
                while not await _is_led(bus, one):
                    log.warning("jetstream_without_leader", asked=one)
                    await asyncio.sleep(_LEADER_PAUSE_S)


async def _is_led(bus: Bus, what: str) -> bool:
    try:
        await bus.api(what)
    except JetStreamRefused as error:
        return error.err_code not in _LEADERLESS
    except BusUnavailable as error:
        # Where nobody listens at all, JetStream is off.
        return not isinstance(error.__cause__, TimeoutError)
    return True


async def ensure_streams(bus: Bus, choices: Choices = _NO_CHOICES) -> None:
    """Create the streams that are missing, with these `choices`; check the others.

    Raises:
        StartRefused: a stream's settings contradict the contract, or it can neither be seen nor created.
    """
    for wanted in STREAM_CONFIGS:
        name = wanted["name"]
        try:
            found = (await bus.api(f"STREAM.INFO.{name}"))["config"]
        except JetStreamRefused as error:
            if error.err_code != _STREAM_NOT_FOUND:
                raise StartRefused(f"stream {name} cannot be looked at: {error}") from error
            found = await _create_stream(bus, {**wanted, **choices.get(name, {})})
        differences = _differences(wanted, found) + _must_not_be_set(_FORBIDDEN_IN_STREAMS, found)
        if differences:
            raise StartRefused(
                f"stream {name} has settings that contradict what Precedent relies on:\n"
                + "\n".join(f"  {line}" for line in differences)
                + f"\nchange them with `nats stream edit {name}`, or move the stream out of the way"
            )


async def _create_stream(bus: Bus, config: dict[str, Any]) -> dict[str, Any]:
    name = config["name"]
    try:
        created: dict[str, Any] = (await bus.api(f"STREAM.CREATE.{name}", config))["config"]
    except (JetStreamRefused, NotPermitted) as error:
        raise _refused_by(error)(
            f"stream {name} is missing and cannot be created: {error}; create it with `precedent-indexer init` as a "
            "user who may, with PRECEDENT_LOG_MAX_BYTES and PRECEDENT_DEAD_LETTERS_MAX_BYTES where bounds are asked, "
            "and with PRECEDENT_REPLICAS that the cluster has servers for"
        ) from error
    log.info("stream_created", stream=name, replicas=created.get("num_replicas"))
    return created


def _refused_by(error: Exception) -> type[StartRefused]:
    return StartDenied if isinstance(error, NotPermitted) else StartRefused


def _differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    lines = []
    for key, value in wanted.items():
        actual = found.get(key)
        same = sorted(actual or []) == sorted(value) if isinstance(value, list) else actual == value
        if not same:
            lines.append(f"{key} is {_shown(key, actual)}, must be {_shown(key, value)}")
    return lines


def _must_not_be_set(forbidden: Mapping[str, str], found: dict[str, Any]) -> list[str]:
    # A limit that is off is -1 or 0 on the wire, a flag that is off false, a list that is off empty.
    return [
        f"{key} is {_shown(key, found[key])}, must not be set: {why}"
        for key, why in forbidden.items()
        if found.get(key) not in (None, False, -1, 0, "", [])
    ]


def _shown(key: str, value: object) -> str:
    if key in {"duplicate_window", "ack_wait"} and isinstance(value, int):
        return f"{value / 1e9:g} s"
    return "not set" if value is None else repr(value)


def log_name(bus: Bus, created: str) -> str:
    """What tells one log from another, also where leaf nodes join several: its JetStream domain and its creation."""
    return f"{bus.domain or ''}:{created}"


async def refuse_second_log(bus: Bus, log: str) -> None:
    """Make sure that nobody answers the same questions from another log.

    Raises:
        StartRefused: an indexer of another log answers: who asks would be given this one's answers and that one's.
    """
    for one in await bus.ping_services(SERVICE, _PING_WAIT_S):
        metadata = one.get("metadata") or {}
        other = metadata.get(LOG_KEY, log)
        if other != log:
            raise StartRefused(
                f"an indexer on host {metadata.get(HOST_KEY, 'unknown')} answers the same questions from another log "
                f"({_log_shown(other)}; this one is {_log_shown(log)}): questions would alternate between the two; "
                "stop one of them, put them into two accounts, or deny security.index.v1.> and "
                "security.deadletters.v1.> on the leaf node connection"
            )


def _log_shown(log: str) -> str:
    domain, _, created = log.partition(":")
    return f"JetStream domain {domain or 'without a name'}, created {created}"


async def orphaned_index(bus: Bus) -> str | None:
    """The uuid of the index that the durable consumer feeds; None where there is no consumer, or it feeds none yet.

    Raises:
        StartRefused: the consumer's settings contradict the contract, or an indexer with that index is running.
    """
    found = await _consumer(bus)
    owner = found and _metadata(found).get(INDEX_UUID_KEY)
    if owner is None:
        return None
    running = await bus.ping_services(SERVICE, _PING_WAIT_S)
    if any((one.get("metadata") or {}).get(INDEX_UUID_KEY) == owner for one in running):
        raise StartRefused(
            f"consumer {CONSUMER} feeds index {owner}, and an indexer with that index is running: "
            "one index has one writer; stop that indexer, or use another NATS account for this one"
        )
    return str(owner)


async def ensure_consumer(bus: Bus, *, index_uuid: str | None, after_seq: int) -> None:
    """Create the durable consumer or check it, and see to it that it feeds this index, in this process, and no other.

    Args:
        bus: where it is.
        index_uuid: of the index that wants to be fed; None claims nothing (`init`).
        after_seq: a consumer that is created delivers what comes after it.

    Raises:
        StartRefused: its settings contradict the contract, or it feeds another index.
    """
    found = await _consumer(bus)
    if found is None:
        await create_consumer(bus, index_uuid=index_uuid, after_seq=after_seq)
        return
    if index_uuid is None:
        return
    owner = _metadata(found).get(INDEX_UUID_KEY, index_uuid)
    if owner != index_uuid:
        raise StartRefused(
            f"consumer {CONSUMER} feeds index {owner}, but PRECEDENT_CHROMA_PATH holds index {index_uuid}: "
            "set PRECEDENT_CHROMA_PATH to the directory of that index, or to an empty one, which goes on for it; "
            f"or, if it is lost, delete the consumer with `nats consumer rm {EVENTS_STREAM} {CONSUMER}`"
        )
    metadata = _metadata(found) | _claim(bus, index_uuid)
    await bus.api(
        f"CONSUMER.CREATE.{EVENTS_STREAM}.{CONSUMER}",
        {"stream_name": EVENTS_STREAM, "config": found | {"metadata": metadata}, "action": "update"},
    )


async def _consumer(bus: Bus) -> dict[str, Any] | None:
    """The settings of the durable consumer, checked; None where there is none."""
    try:
        found: dict[str, Any] = (await bus.api(f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}"))["config"]
    except JetStreamRefused as error:
        if error.err_code != _CONSUMER_NOT_FOUND:
            raise StartRefused(f"consumer {CONSUMER} cannot be looked at: {error}") from error
        return None
    _check_consumer(found)
    return found


def _metadata(found: dict[str, Any]) -> dict[str, str]:
    return found.get("metadata") or {}


def _claim(bus: Bus, index_uuid: str) -> dict[str, str]:
    return {INDEX_UUID_KEY: index_uuid, INSTANCE_KEY: bus.instance}


def _check_consumer(found: dict[str, Any]) -> None:
    wanted = {key: value for key, value in CONSUMER_CONFIG.items() if key not in _TUNABLE}
    differences = _differences(wanted, found)
    differences += _must_not_be_set(_FORBIDDEN_IN_CONSUMER, found)
    if differences:
        raise StartRefused(
            f"consumer {CONSUMER} of stream {EVENTS_STREAM} has settings that contradict what Precedent relies on:\n"
            + "\n".join(f"  {line}" for line in differences)
            + f"\ndelete it with `nats consumer rm {EVENTS_STREAM} {CONSUMER}`: it is made again from the index"
        )


async def create_consumer(bus: Bus, *, index_uuid: str | None, after_seq: int) -> None:
    """Make the durable consumer; it delivers what comes after `after_seq`.

    Raises:
        StartRefused: it cannot be created, or its stream is gone.
        JetStreamRefused: JetStream is unavailable just now.
    """
    config: dict[str, Any] = {"name": CONSUMER, **CONSUMER_CONFIG}
    if after_seq > 0:
        config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": after_seq + 1}
    if index_uuid is not None:
        config["metadata"] = _claim(bus, index_uuid)
    try:
        await bus.api(
            f"CONSUMER.CREATE.{EVENTS_STREAM}.{CONSUMER}",
            {"stream_name": EVENTS_STREAM, "config": config, "action": "create"},
        )
    except (JetStreamRefused, NotPermitted) as error:
        if isinstance(error, JetStreamRefused) and error.code == _UNAVAILABLE:
            raise
        if isinstance(error, JetStreamRefused) and error.err_code == _STREAM_NOT_FOUND:
            raise StartRefused(
                f"stream {EVENTS_STREAM} was deleted: start the indexer again, it makes the stream and an index for it"
            ) from error
        raise _refused_by(error)(
            f"consumer {CONSUMER} of stream {EVENTS_STREAM} is missing and cannot be created: {error}; "
            "create it with `precedent-indexer init` as a user who may"
        ) from error
    log.info("consumer_created", consumer=CONSUMER, after_seq=after_seq)
