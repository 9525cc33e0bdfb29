"""Work that goes on beside a test, for as long as a block runs."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from types import TracebackType
from typing import Self


class Background(ABC):
    """As an async context manager: its works run while the block does, and have ended by themselves after it.

    Where the block fails, they are cancelled. Where one of them has failed, the end of the block raises its error.
    """

    def __init__(self) -> None:
        self._stopping = asyncio.Event()
        """Set when the block ends: whoever works finishes what is in hand, and returns."""
        self._tasks: list[asyncio.Task[None]] = []

    @abstractmethod
    def _works(self) -> Iterable[Coroutine[object, object, None]]:
        """What goes on at the same time, each until `_stopping` is set."""

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(work) for work in self._works()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if error is not None:
            for task in self._tasks:
                task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        failure = next((one for one in ended if isinstance(one, Exception)), None)
        if error is None and failure is not None:
            raise failure
