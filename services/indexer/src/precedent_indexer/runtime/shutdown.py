"""How the process ends: softly at the first signal, at once at the second."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from precedent_indexer.errors import Fault

log = structlog.get_logger(__name__)

SOFT_STOP_S: Final = 7.0
"""Seconds for what is in hand to end after SIGTERM; what has not ended then is redelivered."""


def when_told() -> asyncio.Event:
    """Set once the process is told to stop."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop_softly, stopping)
    return stopping


def _stop_softly(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        # Asked twice: now. Whatever is in hand is redelivered.
        os._exit(1)
    log.info("stopping")
    stopping.set()


async def within(seconds: float, *steps: Callable[[], Awaitable[object]]) -> bool:
    """Take these steps one after the other; whether they all ended in time."""
    try:
        async with asyncio.timeout(seconds):
            for step in steps:
                await step()
    except (TimeoutError, Fault):
        return False
    return True
