"""Carries what waits in the store to the log, in order, for as long as the client is there."""

import asyncio
import logging
import math
import time
from collections.abc import Mapping, MutableMapping
from typing import Final

from precedent_backend_adapter._outbox.store import Held, StoreError
from precedent_backend_adapter._outbox.thread import StoreThread
from precedent_backend_adapter._publishing.delivery import pauses, verdict
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._publishing.queued import Fate
from precedent_backend_adapter._transport import Ack, Fault, FaultKind, Transport
from precedent_backend_adapter.config import Backoff, Timeouts
from precedent_backend_adapter.errors import NotDelivered
from precedent_backend_adapter.receipts import Publication, Receipt

_LOG: Final = logging.getLogger("precedent_backend_adapter")

_WINDOW: Final = 256
"""Most messages that fly together."""
_WINDOW_BYTES: Final = 1024 * 1024
"""Most bytes that do: on a slow link the last of them must still arrive within the time of an attempt."""
_AGAIN_S: Final = 300.0
"""Between two attempts of what was set aside: limits and permissions are corrected by people."""
_SCRUB_EVERY_S: Final = 1.0
"""Between two times that what was delivered is overwritten: each costs two flushes to disk."""
_OF_THE_MESSAGE: Final = (FaultKind.TOO_LARGE, FaultKind.NOT_PERMITTED, FaultKind.REJECTED)
"""Stands against one message and not against those behind it; everything else stands against all."""


class Deliverer:
    """Delivers window by window: what flies together is settled before the next is taken.

    A window leaves in order and over one connection, so that it is stored in order. What is not acknowledged goes out
    again from its first message on, with the same message ids: what the log has of it already, it drops.

    Attributes:
        fault: what stands against the delivery now; None while it goes on.
    """

    def __init__(
        self,
        store: StoreThread,
        transport: Transport,
        timeouts: Timeouts,
        backoff: Backoff,
        fates: MutableMapping[int, Fate],
    ) -> None:
        self.fault: str | None = None
        self._store = store
        self._transport = transport
        self._timeouts = timeouts
        self._backoff = backoff
        self._fates = fates
        self._more = asyncio.Event()
        self._empty = asyncio.Event()
        # The process that had the file before may have left something.
        self._to_scrub = True
        self._scrubbed_at = -math.inf

    def wake(self) -> None:
        """There is more to deliver."""
        self._empty.clear()
        self._more.set()

    async def empty(self) -> None:
        """Wait until nothing waits for its turn; what was set aside does not count."""
        await self._empty.wait()

    async def run(self) -> None:
        """Deliver until cancelled, whatever happens."""
        pausing = pauses(self._backoff)
        await self._reconsider()
        again = asyncio.create_task(self._reconsidering())
        try:
            while True:
                try:
                    fault = await self._round()
                except StoreError as error:
                    fault = str(error)
                except Exception as error:  # noqa: BLE001 -- the loop must go on, or nothing is delivered any more
                    fault = f"an unexpected {type(error).__name__}"
                self._tell(fault)
                if fault is None:
                    pausing = pauses(self._backoff)
                else:
                    await asyncio.sleep(next(pausing))
        finally:
            again.cancel()

    async def _reconsidering(self) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            await self._reconsider()

    async def _reconsider(self) -> None:
        try:
            if await self._store.do(lambda store: store.reconsider()):
                self.wake()
        except StoreError as error:
            _LOG.warning("%s", error)

    async def _round(self) -> str | None:
        self._more.clear()
        # While something stands against it, one message tries the road for all.
        most = _WINDOW if self.fault is None else 1
        held = await self._store.do(lambda store: store.next(most, _WINDOW_BYTES))
        if not held:
            if not self._more.is_set():
                self._empty.set()
            await self._rest()
            return None
        return await self._deliver(held)

    async def _rest(self) -> None:
        """Wait until there is more; at a moment of it, have what was delivered overwritten."""
        if self._to_scrub:
            due = self._scrubbed_at + _SCRUB_EVERY_S - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, due)):
                    await self._more.wait()
            except TimeoutError:
                await self._scrub()
        await self._more.wait()

    async def _scrub(self) -> None:
        self._scrubbed_at = time.monotonic()
        try:
            await self._store.do(lambda store: store.scrub())
        except StoreError as error:
            _LOG.warning("%s", error)
        else:
            self._to_scrub = False

    async def _deliver(self, held: list[Held]) -> str | None:
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._transport.ready()
        except TimeoutError:
            return "there is no connection to NATS"
        except Fault as fault:
            return str(fault)
        flights = [asyncio.create_task(self._attempt(one.publication)) for one in held]
        try:
            answers = await asyncio.gather(*flights)
        finally:
            for flight in flights:
                flight.cancel()
        delivered: list[tuple[Held, Ack]] = []
        refused: list[tuple[Held, Fault]] = []
        waiting: list[Fault] = []
        for one, answer in zip(held, answers, strict=True):
            if isinstance(answer, Ack):
                delivered.append((one, answer))
            elif answer.kind in _OF_THE_MESSAGE:
                refused.append((one, answer))
            else:
                waiting.append(answer)
        await self._settle([one.position for one, _ in delivered], {one.position: str(why) for one, why in refused})
        # Only now: a caller that hands in the same message meanwhile is told as well.
        for one, ack in delivered:
            self._tell_delivered(one, ack)
        for one, why in refused:
            self._tell_refused(one, why)
        if refused:
            _LOG.warning("%d messages were set aside in the outbox, the first because: %s", len(refused), refused[0][1])
        return str(waiting[0]) if waiting else None

    async def _attempt(self, publication: Publication) -> Ack | Fault:
        found, most = size(publication.payload, publication.headers), self._transport.max_payload
        if found > most:
            # It would cost the connection.
            return Fault(FaultKind.TOO_LARGE, f"it has {found} bytes with its headers, the server takes {most}")
        try:
            return await self._transport.publish(
                publication.subject, publication.payload, publication.headers, seconds=self._timeouts.publish_attempt
            )
        except Fault as fault:
            return fault

    def _tell_delivered(self, held: Held, ack: Ack) -> None:
        fate = self._fates.pop(held.position, None)
        if fate is not None:
            publication = held.publication
            fate.delivered(Receipt(publication.id, publication.collection, ack.seq, ack.duplicate))

    def _tell_refused(self, held: Held, fault: Fault) -> None:
        fate = self._fates.get(held.position)
        error = verdict(held.publication, [fault])
        if fate is not None and isinstance(error, NotDelivered):
            fate.refused(error)

    async def _settle(self, delivered: list[int], refused: Mapping[int, str]) -> None:
        # Until it is written, nothing more is taken: what was delivered would be sent again, and beyond the log's
        # duplicate window be stored again.
        for pause in pauses(self._backoff):
            try:
                self._to_scrub = True
                await self._store.do(lambda store: store.settle(delivered, refused))
            except StoreError as error:
                self._tell(str(error))
                await asyncio.sleep(pause)
            else:
                return

    def _tell(self, fault: str | None) -> None:
        if fault is not None and self.fault is None:
            _LOG.warning("the outbox waits: %s", fault)
        elif fault is None and self.fault is not None:
            _LOG.info("the outbox delivers again")
        self.fault = fault
