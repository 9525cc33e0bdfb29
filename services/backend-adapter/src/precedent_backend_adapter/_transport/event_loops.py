"""A connection, and whatever waits for it, belongs to the event loop in which it was made."""

import asyncio

from precedent_backend_adapter.errors import Refused

WRONG_LOOP = "wrong_event_loop"
"""The `reason` of the refusal."""


class LoopBound:
    """The event loop of the first call; calls from any other are refused, where asyncio would fail or wait for ever."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self, what: str) -> None:
        """Remember the running loop, or refuse it.

        Raises:
            Refused: the first call came from another loop.
        """
        running = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = running
        elif self._loop is not running:
            raise Refused(
                f"{what} belongs to another event loop, in which it was connected: connect a client in each event "
                "loop (each asyncio.run, each thread, each forked process has its own), or use "
                "precedent_backend_adapter.sync, which any thread may call",
                reason=WRONG_LOOP,
                code=0,
            )
