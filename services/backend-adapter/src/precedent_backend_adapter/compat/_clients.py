"""One client for each event loop, connected when it is first asked for."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from precedent_backend_adapter.interface import PrecedentClient

Connect = Callable[[], AbstractAsyncContextManager[PrecedentClient]]


class Clients:
    """The clients of all loops that asked; a connection belongs to the loop that it was opened in."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._held: dict[asyncio.AbstractEventLoop, _Held] = {}

    async def get(self) -> PrecedentClient:
        """The client of the running loop.

        Raises:
            PrecedentError: it could not be connected; the next call tries again.
        """
        # A loop that ended without `close` took its connection with it.
        for loop in [one for one in list(self._held) if one.is_closed()]:
            self._held.pop(loop, None)
        held = self._held.setdefault(asyncio.get_running_loop(), _Held())
        async with held.lock:
            if held.client is None:
                held.client = await held.stack.enter_async_context(self._connect())
            return held.client

    async def close(self) -> None:
        """Leave the connection of the running loop, if there is one; a later call opens another."""
        held = self._held.get(asyncio.get_running_loop())
        if held is None:
            return
        async with held.lock:
            held.client = None
            await held.stack.aclose()


class _Held:
    """What one loop has."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.stack = AsyncExitStack()
        self.client: PrecedentClient | None = None
