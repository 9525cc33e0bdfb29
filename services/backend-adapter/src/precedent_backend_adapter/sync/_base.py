"""How a method of the synchronous client runs the asynchronous one."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

from precedent_backend_adapter.interface import PrecedentClient

Result = TypeVar("Result")
Item = TypeVar("Item")


class SyncCalls(ABC):
    """What the methods of the synchronous client are made of."""

    @abstractmethod
    def _call(self, work: Callable[[PrecedentClient], Awaitable[Result]]) -> Result:
        """Run one call of the asynchronous client, and wait for its result."""

    def _iterate(self, work: Callable[[PrecedentClient], AsyncIterator[Item]]) -> Iterator[Item]:
        """Run an iteration of the asynchronous client, item by item."""
        items: list[AsyncIterator[Item]] = []

        async def following(client: PrecedentClient) -> tuple[Item] | None:
            if not items:
                items.append(work(client))
            try:
                return (await anext(items[0]),)
            except StopAsyncIteration:
                return None

        while (found := self._call(following)) is not None:
            yield found[0]
