"""Many publish calls at once, their acknowledgements awaited together, within a bounded window."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable

from precedent_backend_adapter._publishing.reports import PublishProgress, PublishReport
from precedent_backend_adapter.errors import PrecedentError
from precedent_backend_adapter.receipts import Receipt
from precedent_schemas import SecurityEvent

Send = Callable[[SecurityEvent], Awaitable[Receipt]]
Tell = Callable[[PublishProgress], None]


class Pipeline:
    """One run of `publish_many`.

    Args:
        send: publishes one event, with all that a publish call promises.
        window: most events whose acknowledgement is awaited at the same time, 1 or more.
        progress: told after each event.
    """

    def __init__(self, send: Send, window: int, progress: Tell | None) -> None:
        self._send = send
        self._progress = progress
        self._room = asyncio.Semaphore(window)
        self._taken = 0
        self._receipts: dict[int, Receipt] = {}
        self._failures: dict[int, PrecedentError] = {}
        self._flights: set[asyncio.Task[None]] = set()
        self._of_id: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._broken: BaseException | None = None

    async def run(self, events: Iterable[SecurityEvent] | AsyncIterable[SecurityEvent]) -> PublishReport:
        """Publish them all; whatever is no PrecedentError ends the run and cancels what is in flight."""
        try:
            async for event in _each(events):
                await self._start(event)
            while self._flights:
                await self._landing()
            self._raise_broken()
        finally:
            for flight in self._flights:
                flight.cancel()
            await asyncio.gather(*self._flights, return_exceptions=True)
        return PublishReport(self._receipts, self._failures)

    async def _start(self, event: SecurityEvent) -> None:
        # What is no event is refused by the publish call.
        key = (event.collection, event.id) if isinstance(event, SecurityEvent) and event.id is not None else None
        # A retry may put an event behind those that were sent after it: a later revision has to wait for its turn.
        while key is not None and key in self._of_id:
            await self._landing()
        await self._room.acquire()
        self._raise_broken()
        flight = asyncio.create_task(self._one(self._taken, event))
        self._taken += 1
        self._flights.add(flight)
        if key is not None:
            self._of_id[key] = flight
        flight.add_done_callback(lambda done: self._landed(done, key))

    async def _one(self, position: int, event: SecurityEvent) -> None:
        try:
            self._receipts[position] = await self._send(event)
        except PrecedentError as error:
            self._failures[position] = error
        if self._progress is not None:
            self._progress(PublishProgress(self._taken, len(self._receipts), len(self._failures)))

    def _landed(self, flight: asyncio.Task[None], key: tuple[str, str] | None) -> None:
        self._flights.discard(flight)
        if key is not None:
            del self._of_id[key]
        if not flight.cancelled() and flight.exception() is not None:
            self._broken = self._broken or flight.exception()
        self._room.release()

    async def _landing(self) -> None:
        await asyncio.wait(self._flights, return_when=asyncio.FIRST_COMPLETED)
        self._raise_broken()

    def _raise_broken(self) -> None:
        if self._broken is not None:
            raise self._broken


async def _each(events: Iterable[SecurityEvent] | AsyncIterable[SecurityEvent]) -> AsyncIterator[SecurityEvent]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
