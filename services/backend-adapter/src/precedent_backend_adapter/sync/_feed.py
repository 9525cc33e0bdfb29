"""Events that the calling thread takes from an iterable, handed over to the loop of the client."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

_AHEAD: Final = 64
"""Most items that are taken before the loop wants them."""


class Feed(Generic[Item]):
    """One iterable: `fill` runs in the calling thread, `items` in the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: deque[Item] = deque()
        self._room = threading.Semaphore(_AHEAD)
        self._more = asyncio.Event()
        self._ended = False
        self._abandoned = False
        self._error: Exception | None = None

    def fill(self, source: Iterable[Item]) -> None:
        """Take every item, as there is room for it; what `source` raises is raised in the loop."""
        try:
            for item in source:
                self._room.acquire()
                if self._abandoned:
                    return
                self._items.append(item)
                self._loop.call_soon_threadsafe(self._more.set)
        except Exception as error:  # noqa: BLE001 -- the loop has to hear of it
            self._error = error
        self._ended = True
        if not self._abandoned:
            self._loop.call_soon_threadsafe(self._more.set)

    def abandon(self) -> None:
        """The loop wants no more."""
        self._abandoned = True
        self._room.release()

    async def items(self) -> AsyncIterator[Item]:
        """The items, in order."""
        while True:
            self._more.clear()
            # Read before the items: what is put in before the end must not be missed.
            ended = self._ended
            while self._items:
                self._room.release()
                yield self._items.popleft()
            if ended:
                break
            await self._more.wait()
        if self._error is not None:
            raise self._error
