"""What both modes do before they open an index: check permissions and streams, read the dead letters."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.lease import ensure_bucket
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.adapters.nats.provision.permissions import SHARED, check_permissions
from precedent_indexer.adapters.nats.provision.streams import (
    await_leaders,
    ensure_streams,
    log_name,
    operators_choices,
    refuse_second_log,
)
from precedent_indexer.domain.messages import LogState
from precedent_indexer.errors import Fault, NotPermitted, StartDenied, StartRefused
from precedent_indexer.index.log_match import began_at
from precedent_indexer.settings import Settings

CONNECTION_NAME: Final = "precedent-indexer"


@dataclass(frozen=True, slots=True)
class OpenedLog:
    """The log and its dead letters, as they were at start."""

    source: JetStreamLog
    state: LogState
    dead_letters: JetStreamDeadLetters


async def init(settings: Settings) -> None:
    """Create the streams and the consumer, or check them, and nothing else.

    Raises:
        StartRefused: they contradict the contract, or cannot be created.
    """
    bus = await Bus.connect(settings, CONNECTION_NAME)
    try:
        await await_leaders(bus, settings.precedent_start_timeout_s)
        await ensure_streams(bus, operators_choices(settings))
        await DurableConsumer(bus).ensure(index_uuid=None, after_seq=0)
        if settings.precedent_chroma_url is not None:
            await ensure_bucket(bus, settings.precedent_replicas)
    finally:
        await bus.close()


async def open_log(bus: Bus, settings: Settings) -> OpenedLog:
    """Check what the server permits and the settings of the streams, and read the dead letters.

    Raises:
        StartDenied: a permission is missing.
        StartRefused: a stream contradicts the contract, an indexer of another log answers, or JetStream fails.
    """
    is_shared = settings.precedent_chroma_url is not None
    with start_refusals():
        await check_permissions(bus, beside=SHARED if is_shared else ())
        await await_leaders(bus, settings.precedent_start_timeout_s)
        await ensure_streams(bus, operators_choices(settings))
        if is_shared:
            await ensure_bucket(bus, settings.precedent_replicas)
        source = JetStreamLog(bus)
        state = await source.state()
        await refuse_second_log(bus, log_name(bus, state.created))
        dead_letters = JetStreamDeadLetters(bus, state.created, await began_at(state, source))
        await dead_letters.refresh()
        return OpenedLog(source, state, dead_letters)


@contextlib.contextmanager
def start_refusals() -> Iterator[None]:
    """Inside, a fault of JetStream ends the start with its reason.

    Raises:
        StartDenied: the server forbids an operation.
        StartRefused: JetStream fails.
    """
    try:
        yield
    except NotPermitted as error:
        raise StartDenied(f"JetStream cannot be used: {error}") from error
    except Fault as error:
        raise StartRefused(f"JetStream cannot be used: {error}") from error
