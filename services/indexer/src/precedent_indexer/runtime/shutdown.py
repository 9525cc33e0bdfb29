"""Shutdown: a soft stop at the first signal, an immediate exit at the second."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from precedent_indexer.errors import Fault

log = structlog.get_logger(__name__)

SOFT_STOP_S: Final = 7.0
"""Seconds to finish the messages in flight after SIGTERM; the rest is redelivered."""


def when_told() -> asyncio.Event:
    """An event that is set by SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop_softly, stopping)
    return stopping


def _stop_softly(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        # The second signal. Messages in flight are redelivered.
        os._exit(1)
    log.info("stopping")
    stopping.set()


async def within(seconds: float, *steps: Callable[[], Awaitable[object]]) -> bool:
    """Run these steps one after the other; whether all of them ended within `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            for step in steps:
                await step()
    except (TimeoutError, Fault):
        return False
    return True
