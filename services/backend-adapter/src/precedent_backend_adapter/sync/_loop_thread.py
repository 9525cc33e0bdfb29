"""A thread with an event loop, in which an asynchronous client lives."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from precedent_backend_adapter.errors import Refused, Unavailable
from precedent_backend_adapter.interface import PrecedentClient

Result = TypeVar("Result")
_LEAVE_S: Final = 1.0
"""How long calls may take to end by themselves once the client is closed."""

Open = Callable[[], AbstractAsyncContextManager[PrecedentClient]]


class LoopThread:
    """Opens a client in a loop of its own, and runs calls there until it is stopped.

    Raises:
        PrecedentError: the client could not be opened.
    """

    def __init__(self, open_client: Open) -> None:
        self.loop = asyncio.new_event_loop()
        self._opened: Future[PrecedentClient] = Future()
        self._end = asyncio.Event()
        self._stopped = False
        self._gate = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, args=(open_client,), name="precedent-backend-adapter", daemon=True
        )
        self._thread.start()
        try:
            self.client = self._opened.result()
        except BaseException:
            self.stop()
            raise

    def call(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Do `work` in the loop, and wait for what becomes of it.

        Raises:
            Refused: the calling thread is the loop's own, which would wait for itself.
            Unavailable: the client is closed.
        """
        return self.result(self.start(work))

    def start(self, work: Callable[[], Awaitable[Result]]) -> "Future[Result]":
        """Do `work` in the loop; raises as `call`."""
        if threading.current_thread() is self._thread:
            raise Refused("a callback of this client calls it again, and would wait for itself: use another thread")
        with self._gate:
            if self._stopped:
                raise Unavailable("this client is closed: connect another")
            return asyncio.run_coroutine_threadsafe(_coroutine(work), self.loop)

    def result(self, future: "Future[Result]") -> Result:
        """Wait for what was started; if this thread is interrupted, it is cancelled."""
        try:
            return future.result()
        except CancelledError as error:
            raise Unavailable("the client was closed before an answer came; it may have been carried out") from error
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Close the client, and wait for the thread to end; again does nothing."""
        with self._gate:
            if self._stopped:
                return
            self._stopped = True
            # Behind every call that was started: each is a task by then, and hears of the end.
            self.loop.call_soon_threadsafe(self._end.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self, open_client: Open) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._serve(open_client))
        finally:
            self._cancel_left()
            self.loop.close()

    async def _serve(self, open_client: Open) -> None:
        try:
            async with open_client() as client:
                self._opened.set_result(client)
                await self._end.wait()
        except BaseException as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)
            await self._end.wait()

    def _cancel_left(self) -> None:
        # Calls of other threads: the end of the client ends most of them, with the exception that fits.
        left = asyncio.all_tasks(self.loop)
        if left:
            self.loop.run_until_complete(asyncio.wait(left, timeout=_LEAVE_S))
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def _coroutine(work: Callable[[], Awaitable[Result]]) -> Coroutine[Any, Any, Result]:
    async def run() -> Result:
        return await work()

    return run()
