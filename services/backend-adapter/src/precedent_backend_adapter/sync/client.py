"""The synchronous client: the asynchronous one in a thread of its own, in each process that calls it."""

import os
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self, TypeVar, overload

from pydantic import BaseModel

from precedent_backend_adapter._publishing.reports import DEFAULT_WINDOW, PublishProgress, PublishReport
from precedent_backend_adapter.client import Precedent as AsyncPrecedent
from precedent_backend_adapter.config import Config, check_urls
from precedent_backend_adapter.errors import Refused, Unavailable
from precedent_backend_adapter.interface import PrecedentClient
from precedent_backend_adapter.receipts import Receipt
from precedent_backend_adapter.sync._calls.publishing import PublishingCalls
from precedent_backend_adapter.sync._calls.questions import QuestionCalls
from precedent_backend_adapter.sync._calls.removal import RemovalCalls
from precedent_backend_adapter.sync._feed import Feed
from precedent_backend_adapter.sync._loop_thread import LoopThread, Open
from precedent_schemas import SecurityEvent

Result = TypeVar("Result")

_CLIENTS: Final["weakref.WeakSet[Precedent]"] = weakref.WeakSet()
_INHERITED: Final[list[LoopThread | None]] = []
"""Of the process that this one was forked from: its sockets are not ours to close, so nothing of it is ever freed."""


class Precedent(PublishingCalls, QuestionCalls, RemovalCalls):
    """Publish security events and ask for precedents, without `await`.

    Use it as `with Precedent.connect(url) as precedent`, or call `close`. Methods have the arguments, results and
    exceptions of `PrecedentClient`. Any number of threads may call it at once. A process that is forked while it is
    open opens a connection of its own at its first call. A call blocks its thread: in an event loop, use
    `precedent_backend_adapter.Precedent` instead.

    Args:
        open_client: makes the asynchronous client, once in each process, at the first call: `InMemoryPrecedent`, say.
    """

    def __init__(self, open_client: Open) -> None:
        self._open = open_client
        self._lock = threading.Lock()
        self._thread: LoopThread | None = None
        self._closed = False
        _CLIENTS.add(self)

    @classmethod
    def connect(cls, url: str | Sequence[str], *, config: Config | None = None, lazy: bool = False) -> Self:
        """A connected client.

        Args:
            url: as for the asynchronous client.
            config: likewise. A file of an outbox is for one process: give each its own, after the fork.
            lazy: start without a server, a thread or a connection: the first call opens them.

        Raises:
            PrecedentError: as the asynchronous client's `connect`.
        """
        urls = check_urls(url)

        def opened(*, lazy: bool = True) -> AbstractAsyncContextManager[PrecedentClient]:
            return AsyncPrecedent.connect(urls, config=config, lazy=lazy)

        client = cls(opened)
        if not lazy:
            client._thread = LoopThread(lambda: opened(lazy=False))
        return client

    def close(self) -> None:
        """Leave; what other threads wait for fails. Again does nothing."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def publish_many(
        self,
        events: Iterable[SecurityEvent],
        *,
        window: int = DEFAULT_WINDOW,
        progress: Callable[[PublishProgress], None] | None = None,
    ) -> PublishReport:
        """Publish many events to the log without waiting for each acknowledgement before the next is sent.

        As `PrecedentClient.publish_many`. `events` is iterated in the calling thread; `progress` is called in the
        client's own thread, and must not call the client.
        """
        if not isinstance(events, Iterable):
            # An asynchronous iterable; or something wrong, and the asynchronous client says what.
            return self._call(lambda client: client.publish_many(events, window=window, progress=progress))
        if isinstance(events, str | bytes | BaseModel):
            raise Refused(f"events: should be a series of events (got {type(events).__name__})")
        thread = self._running()
        feed = Feed[SecurityEvent](thread.loop)
        future = thread.start(lambda: thread.client.publish_many(feed.items(), window=window, progress=progress))
        future.add_done_callback(lambda _: feed.abandon())
        try:
            feed.fill(events)
        except BaseException:
            future.cancel()
            raise
        return thread.result(future)

    @overload
    def delivered(self, of: Receipt) -> Receipt: ...
    @overload
    def delivered(self, of: PublishReport) -> PublishReport: ...
    def delivered(self, of: Receipt | PublishReport) -> Receipt | PublishReport:
        """Wait until the log has what the outbox took, as `Receipt.delivered` and `PublishReport.delivered` do."""

        async def wait(_: PrecedentClient) -> Receipt | PublishReport:
            return await of.delivered()

        return self._call(wait)

    def _call(self, work: Callable[[PrecedentClient], Awaitable[Result]]) -> Result:
        thread = self._running()
        return thread.call(lambda: work(thread.client))

    def _running(self) -> LoopThread:
        with self._lock:
            if self._closed:
                raise Unavailable("this client is closed: connect another")
            if self._thread is None:
                self._thread = LoopThread(self._open)
            return self._thread

    def forget_parent(self) -> None:
        """This process was just forked: the thread and the connection are the parent's."""
        _INHERITED.append(self._thread)
        self._thread = None
        # A thread of the parent may have held it, and does not exist here.
        self._lock = threading.Lock()


def _forget_parent() -> None:
    for client in list(_CLIENTS):
        client.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parent)
