"""Threads that are none: every call runs at once, so that a test decides what happens in which order."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from precedent_indexer.runtime.threads import Workers

P = ParamSpec("P")
R = TypeVar("R")


class InlineWorkers(Workers):
    """Workers in the event loop's own thread."""

    def __init__(self) -> None:
        """No pools."""

    async def write(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Now."""
        await asyncio.sleep(0)
        return call(*args, **kwargs)

    async def embed(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Now."""
        await asyncio.sleep(0)
        return call(*args, **kwargs)

    async def ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Now."""
        await asyncio.sleep(0)
        return call(*args, **kwargs)

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Now."""
        await asyncio.sleep(0)
        return call(*args, **kwargs)

    def close(self) -> None:
        """Nothing to close."""
