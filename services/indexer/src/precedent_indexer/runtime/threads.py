"""Threads for what blocks: one that writes, one that embeds events, one for questions, a few that read."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

READERS: Final = 4
"""Reads release the interpreter, so several at once help; more than this only queue at the disk."""


class Workers:
    """Named thread pools; every blocking call of the indexer goes through one of them."""

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, "writer")
        self._embedder = ThreadPoolExecutor(1, "embedder")
        self._questions = ThreadPoolExecutor(1, "question")
        self._readers = ThreadPoolExecutor(READERS, "reader")

    async def write(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """One at a time, in order: the store has one writer."""
        return await _run(self._writer, call, *args, **kwargs)

    async def embed(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """For the write corridor."""
        return await _run(self._embedder, call, *args, **kwargs)

    async def ask(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """To embed questions, beside the write corridor."""
        return await _run(self._questions, call, *args, **kwargs)

    async def read(self, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Several at once."""
        return await _run(self._readers, call, *args, **kwargs)

    def close(self) -> None:
        """Let running calls end, begin no others."""
        for pool in (self._readers, self._questions, self._embedder, self._writer):
            pool.shutdown(wait=True, cancel_futures=True)


async def _run(pool: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return await asyncio.get_running_loop().run_in_executor(pool, lambda: call(*args, **kwargs))
