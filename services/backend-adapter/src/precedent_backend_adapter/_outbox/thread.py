"""The one thread in which the store lives, so that no flush to disk holds up the event loop."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from precedent_backend_adapter._outbox.store import Store
from precedent_backend_adapter.config import OutboxConfig

Result = TypeVar("Result")


class StoreThread:
    """A store, and the thread that it belongs to: whatever is to be done there is done in the order of asking."""

    def __init__(self, pool: ThreadPoolExecutor, store: Store) -> None:
        self._pool = pool
        self._store = store

    @classmethod
    async def open(cls, config: OutboxConfig) -> Self:
        """Open the store.

        Raises:
            OutboxUnavailable: it cannot be used.
        """
        pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="precedent-outbox")
        try:
            store = await asyncio.get_running_loop().run_in_executor(pool, Store, config)
        except BaseException:
            pool.shutdown(wait=False)
            raise
        return cls(pool, store)

    async def do(self, work: Callable[[Store], Result]) -> Result:
        """What `work` gives; it is done also if its caller no longer waits."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, self._store)

    async def close(self) -> None:
        """Close the store, after everything that it was asked to do."""
        try:
            await self.do(lambda store: store.close())
        finally:
            self._pool.shutdown(wait=False)
