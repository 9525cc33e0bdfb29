"""Thread pools for blocking calls: one writer, one embedder of events, one of questions, a few readers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

READERS: Final = 4
"""Reads release the interpreter, so several at once are faster; more than four wait for the disk."""


class Workers:
    """The pools; every blocking call of the indexer goes through one of them."""

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, "writer")
        self._embedder = ThreadPoolExecutor(1, "embedder")
        self._questions = ThreadPoolExecutor(1, "question")
        self._readers = ThreadPoolExecutor(READERS, "reader")

    async def write(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call in the writer's thread: one call at a time, in order."""
        return await _run(self._writer, call, *args, **kwargs)

    async def embed(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call in the thread that embeds events."""
        return await _run(self._embedder, call, *args, **kwargs)

    async def ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call in the thread that embeds questions."""
        return await _run(self._questions, call, *args, **kwargs)

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call in one of the readers' threads."""
        return await _run(self._readers, call, *args, **kwargs)

    def close(self) -> None:
        """Wait for running calls, and cancel those that wait."""
        for pool in (self._readers, self._questions, self._embedder, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)


async def _run(pool: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: call(*args, **kwargs))
