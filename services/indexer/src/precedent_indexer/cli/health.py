"""Is the indexer serving, and has it caught up? Asked over the bus, as any caller would."""

import socket
from dataclasses import dataclass
from typing import Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.service import HOST_KEY
from precedent_indexer.cli.client import AnsweredWithError, Client, NoAnswer
from precedent_indexer.errors import FAILED, CommandDenied, NotPermitted, StartRefused
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas import catalogue
from precedent_schemas.answers import StatsReply
from precedent_schemas.subjects import SERVICE

_CATCHING_UP: Final = "catching_up"


@dataclass(frozen=True, slots=True)
class Report:
    """The verdict, one line that says why, and the exit code where it is not healthy."""

    healthy: bool
    line: str
    code: int = FAILED


async def check_alive(settings: Settings, timeout_s: float) -> Report:
    """Whether the indexer of this host answers at all, in whatever state its index is.

    What a new process could not mend is no reason to end one: an outage of NATS, a backlog, a rebuild.
    """
    try:
        bus = await _connected(settings, timeout_s)
    except StartRefused as error:
        return Report(healthy=True, line=f"alive as far as can be seen: {error}")
    try:
        answered = await bus.ping_services(SERVICE, timeout_s)
    except NotPermitted as error:
        return Report(healthy=True, line=f"alive as far as can be seen: {error}")
    finally:
        await bus.close()
    host = socket.gethostname()
    if any((one.get("metadata") or {}).get(HOST_KEY) == host for one in answered):
        return Report(healthy=True, line="alive: it answers")
    return Report(healthy=False, line=f"not alive: NATS answers, and no indexer of host {host} within {timeout_s:g} s")


async def _connected(settings: Settings, timeout_s: float) -> Bus:
    quick = settings.model_copy(update={"precedent_start_timeout_s": timeout_s})
    return await Bus.connect(quick, "precedent-indexer-health")


async def check(settings: Settings, timeout_s: float) -> Report:
    """Ask the running indexer for its stats and judge them."""
    server = without_secrets(settings.nats_url)
    try:
        bus = await _connected(settings, timeout_s)
    except StartRefused as error:
        return Report(healthy=False, line=f"unhealthy: {error}", code=error.exit_code)
    try:
        stats: StatsReply = await Client(bus, server, timeout_s).ask(catalogue.STATS)
    except CommandDenied as error:
        return Report(healthy=False, line=f"unhealthy: it cannot be asked: {error}", code=error.exit_code)
    except NoAnswer:
        return Report(healthy=False, line=f"unhealthy: no indexer answered on {server} in {timeout_s:g} s")
    except AnsweredWithError as error:
        return Report(healthy=False, line=f"unhealthy: {error.description}")
    finally:
        await bus.close()
    lag, held = stats.stream_seq - stats.indexed_seq, stats.stream.messages
    state = f"{lag} messages behind, {stats.dead_letters} dead letters, indexed_seq {stats.indexed_seq}"
    begins = stats.state in {None, "serving"} and stats.indexed_seq == 0 and lag > 0 and held > 0
    if begins or stats.state == _CATCHING_UP:
        return Report(
            healthy=False, line=f"unhealthy: the index is new and catching up with the log of {held} messages; {state}"
        )
    if stats.state not in {None, "serving"}:
        return Report(healthy=False, line=f"unhealthy: {stats.state}: {stats.fault or 'no progress'}; {state}")
    if lag > settings.precedent_health_max_lag:
        return Report(healthy=False, line=f"unhealthy: {state}; allowed are {settings.precedent_health_max_lag}")
    return Report(healthy=True, line=f"healthy: {state}")
