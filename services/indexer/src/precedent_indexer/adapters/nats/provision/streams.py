"""The streams on the server: created if they are missing, otherwise every setting is checked."""

import asyncio
import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.deliveries import LOG_KEY
from precedent_indexer.adapters.nats.service import HOST_KEY
from precedent_indexer.errors import (
    LEADERLESS,
    BusUnavailable,
    JetStreamCode,
    JetStreamRefused,
    NotPermitted,
    StartDenied,
    StartRefused,
)
from precedent_indexer.settings import Settings
from precedent_schemas.streams import STREAM_CONFIGS, contradictions, shown
from precedent_schemas.subjects import CONSUMER, DEAD_LETTERS_STREAM, EVENTS_STREAM, SERVICE

log = structlog.get_logger(__name__)

_LEADER_PAUSE_S: Final = 0.25
_LED: Final = (
    *(f"STREAM.INFO.{stream}" for stream in (EVENTS_STREAM, DEAD_LETTERS_STREAM)),
    f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}",
)
"""Requests for the info of each part that has a leader of its own in a cluster."""
PING_WAIT_S: Final = 1.5

Choices = Mapping[str, Mapping[str, int]]
"""Settings that the operator chooses, by stream: applied when the stream is created, never checked."""
_NO_CHOICES: Final[Choices] = MappingProxyType({})


def operators_choices(settings: Settings) -> Choices:
    """Limits and replicas of streams that are created; later `nats stream edit` changes them."""
    bounds = {
        EVENTS_STREAM: settings.precedent_log_max_bytes,
        DEAD_LETTERS_STREAM: settings.precedent_dead_letters_max_bytes,
    }
    replicas = {"num_replicas": settings.precedent_replicas}
    return {stream: replicas if limit is None else {**replicas, "max_bytes": limit} for stream, limit in bounds.items()}


async def await_leaders(bus: Bus, patience_s: float) -> None:
    """Wait while a cluster elects its leaders, which takes seconds at its start and after the loss of a server.

    After `patience_s` seconds it returns, and the next request fails.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            for one in _LED:
                while not await _is_led(bus, one):
                    log.warning("jetstream_without_leader", asked=one, retry_in_s=_LEADER_PAUSE_S)
                    await asyncio.sleep(_LEADER_PAUSE_S)


async def _is_led(bus: Bus, what: str) -> bool:
    try:
        await bus.api(what)
    except JetStreamRefused as error:
        return error.err_code not in LEADERLESS
    except BusUnavailable as error:
        # If there is no responder at all, JetStream is off.
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
            if error.err_code != JetStreamCode.STREAM_NOT_FOUND:
                raise StartRefused(f"stream {name} cannot be looked at: {error}") from error
            found = await _create_stream(bus, {**wanted, **choices.get(name, {})})
        wrong = contradictions(wanted, found)
        if wrong:
            raise StartRefused(
                f"stream {name} has settings that contradict what Precedent relies on:\n"
                + "\n".join(f"  {line}" for line in wrong)
                + f"\nchange them with `nats stream edit {name}`, or move the stream out of the way"
            )


async def _create_stream(bus: Bus, config: dict[str, Any]) -> dict[str, Any]:
    name = config["name"]
    try:
        created: dict[str, Any] = (await bus.api(f"STREAM.CREATE.{name}", config))["config"]
    except (JetStreamRefused, NotPermitted) as error:
        raise refusal_of(error)(
            f"stream {name} is missing and cannot be created: {error}; create it with `precedent-indexer init` as a "
            "user who may, with PRECEDENT_LOG_MAX_BYTES and PRECEDENT_DEAD_LETTERS_MAX_BYTES where bounds are asked, "
            "and with PRECEDENT_REPLICAS that the cluster has servers for"
        ) from error
    log.info("stream_created", stream=name, replicas=created.get("num_replicas"))
    return created


def refusal_of(error: Exception) -> type[StartRefused]:
    """The kind of refusal that a failed creation is: StartDenied if a permission is missing."""
    return StartDenied if isinstance(error, NotPermitted) else StartRefused


def differences(wanted: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """One line for each setting that is not as `wanted`."""
    lines = []
    for key, value in wanted.items():
        actual = found.get(key)
        same = sorted(actual or []) == sorted(value) if isinstance(value, list) else actual == value
        if not same:
            lines.append(f"{key} is {shown(key, actual)}, must be {shown(key, value)}")
    return lines


def forbidden_settings(forbidden: Mapping[str, str], found: dict[str, Any]) -> list[str]:
    """One line for each of the `forbidden` settings that is set."""
    # Unset values on the wire: -1 or 0 for a limit, false for a flag, empty for a list.
    return [
        f"{key} is {shown(key, found[key])}, must not be set: {why}"
        for key, why in forbidden.items()
        if found.get(key) not in (None, False, -1, 0, "", [])
    ]


def log_name(bus: Bus, created: str) -> str:
    """Name of a log, unique even if leaf nodes join several: its JetStream domain and its creation time."""
    return f"{bus.domain or ''}:{created}"


async def refuse_second_log(bus: Bus, log: str) -> None:
    """Check that no other indexer answers the same questions from another log.

    Raises:
        StartRefused: an indexer of another log answers: callers would get answers of both in turn.
    """
    for one in await bus.ping_services(SERVICE, PING_WAIT_S):
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
