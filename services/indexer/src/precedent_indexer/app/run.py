"""One run of an indexer, the same for both modes: index and answer until told to stop, then stop softly."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.app.active_index import ActiveIndex
from precedent_indexer.app.endpoint import ServiceEndpoint
from precedent_indexer.errors import FAILED, REFUSED
from precedent_indexer.runtime.shutdown import SOFT_STOP_S, within

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run has ended.

    Attributes:
        failure: what the first failed task raised; None after a normal stop.
        is_soft: every step of the shutdown ended in time.
        ingesting: the task that followed the log.
    """

    failure: BaseException | None
    is_soft: bool
    ingesting: asyncio.Task[None]


async def run(
    active: ActiveIndex,
    endpoint: ServiceEndpoint,
    *,
    beside: Iterable[Coroutine[Any, Any, None]],
    watched: Iterable[asyncio.Task[None]],
    ends: Iterable[asyncio.Future[Any]],
    on_end: Callable[[BaseException | None], None],
) -> Ended:
    """Follow the log and answer questions until a task fails or one of `ends` is done; then stop softly.

    Args:
        active: the index that is served.
        endpoint: the NATS service; at the stop it takes no more questions and answers the accepted ones.
        beside: background work of the mode, cancelled at the stop.
        watched: tasks of the caller whose failure ends the run too.
        ends: what ends the run without a failure: a signal, a closed connection.
        on_end: called with the failure, if any, before the stop begins.
    """
    ingesting = asyncio.create_task(active.follow())
    working = [
        asyncio.create_task(one)
        for one in (active.watchdog.run(), active.housekeeping.run(), active.observer.run(), *beside)
    ]
    tasks = [*watched, ingesting, *working]
    await asyncio.wait({*tasks, *ends}, return_when=asyncio.FIRST_COMPLETED)
    failures = (one.exception() for one in tasks if one.done())
    failure = next((one for one in failures if one is not None), None)
    on_end(failure)
    for one in working:
        one.cancel()
    active.stop()
    is_soft = await within(
        SOFT_STOP_S,
        endpoint.stop_taking,
        active.jobs.stop,
        lambda: asyncio.wait({ingesting, *working}),
        endpoint.drain,
        active.feed.stop,
    )
    if not is_soft:
        log.warning("stopped_hard", after_s=SOFT_STOP_S)
        ingesting.cancel()
    return Ended(failure, is_soft, ingesting)


def exit_code(bus: Bus) -> int:
    """The exit code of a run without a failure: 0 unless the connection was closed for good."""
    if not bus.closed.done():
        return 0
    return REFUSED if bus.is_refused else FAILED
