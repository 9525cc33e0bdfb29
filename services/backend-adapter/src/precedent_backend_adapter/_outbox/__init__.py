"""A durable outbox: what is published is on disk when `put` returns, and goes to the log when that can be reached."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from precedent_backend_adapter._outbox.deliverer import Deliverer
from precedent_backend_adapter._outbox.store import Full, StoreError
from precedent_backend_adapter._outbox.thread import StoreThread
from precedent_backend_adapter._publishing.publications import too_large
from precedent_backend_adapter._publishing.queued import Fate, QueuedReceipt
from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter._transport import Transport
from precedent_backend_adapter.config import Config, OutboxConfig
from precedent_backend_adapter.errors import (
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    OutboxUnavailable,
    PrecedentError,
)
from precedent_backend_adapter.receipts import Publication, Receipt

_LOG: Final = logging.getLogger("precedent_backend_adapter")

_COMMIT_MESSAGES: Final = 512
"""Most messages of one flush to disk: many publish calls at once share one."""
_COMMIT_BYTES: Final = 4 * 1024 * 1024
"""About the most bytes of one: the write-ahead log keeps the size of the largest."""

_Arrival = tuple[Publication, "asyncio.Future[Fate | Full]"]


@asynccontextmanager
async def opened(config: Config, outbox: OutboxConfig, transport: Transport) -> AsyncIterator["Outbox"]:
    """The outbox of a client, delivering for as long as the block runs.

    At the end it has a last `timeouts.close` to deliver what waits, unless something stands against it; the rest stays
    in the file.

    Raises:
        OutboxUnavailable: the file cannot be used, or another client uses it.
    """
    store = await StoreThread.open(outbox)
    open_outbox = Outbox(store, config, str(outbox.path), transport)
    try:
        yield open_outbox
    finally:
        await open_outbox.close()


class Outbox:
    """Takes messages and has them delivered."""

    def __init__(self, store: StoreThread, config: Config, path: str, transport: Transport) -> None:
        self._store = store
        self._path = path
        self._timeouts = config.timeouts
        self._transport = transport
        self._closed = False
        self._arrivals: asyncio.Queue[_Arrival] = asyncio.Queue()
        # Held by receipts alone: a message without a receipt costs no memory.
        self._fates: WeakValueDictionary[int, Fate] = WeakValueDictionary()
        self._deliverer = Deliverer(store, transport, config.timeouts, config.backoff, self._fates)
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._deliverer.run())]

    async def put(self, publication: Publication) -> Receipt:
        """Have it on disk.

        Raises:
            NotDelivered: it is not there.
            DeliveryUnknown: it may be there.
        """
        if self._closed:
            message = f"{_what(publication)} was not taken: this client is closed; open a new one"
            raise NotDelivered(message, NotDeliveredReason.UNREACHABLE, publication)
        too_large(publication, self._transport.max_payload, "the server")
        written: asyncio.Future[Fate | Full] = asyncio.get_running_loop().create_future()
        self._arrivals.put_nowait((publication, written))
        try:
            async with asyncio.timeout(self._timeouts.publish):
                taken = await written
        except TimeoutError as error:
            message = f"{_what(publication)} may or may not be in the outbox {self._path}: the disk does not answer"
            raise DeliveryUnknown(f"{message}; republish(error.pending) stores it at most once", publication) from error
        except StoreError as error:
            raise _not_taken(publication, error) from error
        if isinstance(taken, Full):
            message = (
                f"{_what(publication)} was not taken: the outbox {self._path} is full: {taken}; "
                "have the log reachable, or raise max_events and max_bytes"
            )
            raise NotDelivered(message, NotDeliveredReason.OUTBOX_FULL, publication) from taken
        return QueuedReceipt(publication.id, publication.collection, taken)

    async def empty(self) -> None:
        """Wait until nothing waits for its turn; what was set aside does not count."""
        await self._deliverer.empty()

    async def status(self) -> OutboxStatus:
        """What is in it.

        Raises:
            OutboxUnavailable: the file cannot be read.
        """
        try:
            counted = await self._store.do(lambda store: store.status())
        except StoreError as error:
            raise OutboxUnavailable(f"{error}; look at its disk") from error
        return dataclasses.replace(counted, fault=self._deliverer.fault)

    async def close(self) -> None:
        """Deliver what can be delivered at once, and let go of the file."""
        self._closed = True
        try:
            async with asyncio.timeout(self._timeouts.close):
                await self._arrivals.join()
                if self._deliverer.fault is None:
                    await self._deliverer.empty()
        except TimeoutError:
            pass  # The file keeps it.
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for fate in list(self._fates.values()):
                fate.left()
            await self._let_go()

    async def _let_go(self) -> None:
        try:
            async with asyncio.timeout(self._timeouts.close):
                await self._store.close()
        except (TimeoutError, StoreError) as error:
            # Nothing is lost by it: the file is whole at any time.
            _LOG.warning("the outbox %s was not closed: %s", self._path, str(error) or "its disk does not answer")

    async def _write(self) -> None:
        while True:
            batch = [await self._arrivals.get()]
            weight = len(batch[0][0].payload)
            while not self._arrivals.empty() and len(batch) < _COMMIT_MESSAGES and weight < _COMMIT_BYTES:
                batch.append(self._arrivals.get_nowait())
                weight += len(batch[-1][0].payload)
            await self._commit(batch)
            for _ in batch:
                self._arrivals.task_done()

    async def _commit(self, batch: list[_Arrival]) -> None:
        try:
            places = await self._store.do(lambda store: store.add([publication for publication, _ in batch]))
        except Exception as error:  # noqa: BLE001 -- those who wait are told, whatever it is
            for _, written in batch:
                if not written.done():
                    written.set_exception(error)
            return
        for (_, written), place in zip(batch, places, strict=True):
            taken = place if isinstance(place, Full) else self._fate(place)
            if not written.done():
                written.set_result(taken)
        self._deliverer.wake()

    def _fate(self, position: int) -> Fate:
        # The deliverer cannot have been faster: it reads in the same thread, after what was written here.
        fate = self._fates.get(position)
        if fate is None:
            fate = self._fates[position] = Fate()
        fate.waits()
        return fate


def _what(publication: Publication) -> str:
    return f"{publication.id!r} of {publication.collection!r}"


def _not_taken(publication: Publication, error: StoreError) -> PrecedentError:
    what = _what(publication)
    if not error.certain:
        remedy = "look at its disk; republish(error.pending) stores it at most once"
        return DeliveryUnknown(f"{what} may or may not be in the outbox: {error}; {remedy}", publication)
    if error.full:
        message = f"{what} was not taken: {error}; make room on its disk"
        return NotDelivered(message, NotDeliveredReason.OUTBOX_FULL, publication)
    message = f"{what} was not taken: {error}; look at its disk, then republish(error.pending)"
    return NotDelivered(message, NotDeliveredReason.OUTBOX_FAILED, publication)
