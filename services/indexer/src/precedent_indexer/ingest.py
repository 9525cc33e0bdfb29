"""The write corridor: take what the log has, apply it strictly in its order, settle it.

The durable consumer says that there is something new and keeps the books; the order of the log rules. What it
delivers again is acknowledged and skipped; what it does not deliver (because an earlier life of this process, or
an index that is gone, was given it) is read from the log directly. So the watermark is always a prefix of the log.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import structlog

from precedent_indexer.applying import Applier
from precedent_indexer.errors import ConsumerGone, Fault
from precedent_indexer.ports import ConsumerState, Deliveries, Delivery, Log, LogMessage, Refusal
from precedent_indexer.progress import Progress
from precedent_schemas.limits import ACK_WAIT_S

log = structlog.get_logger(__name__)

_IDLE_S: Final = 1.0
"""Seconds of silence after which the tail of the log is looked at: a deleted tail is never delivered."""
_SAVE_EVERY_S: Final = 1.0
"""Seconds between two saves of the watermark; what lies between is applied again after a crash, harmlessly."""
_FIRST_BACKOFF_S: Final = 0.2
_LAST_BACKOFF_S: Final = 10.0
_BATCH_BYTES: Final = 128 * 1024
"""Payload after which a batch is applied although it could hold more messages: long texts take long to embed."""
_CHECK_OWNER_EVERY_S: Final = 5.0
_TOUCH_EVERY_S: Final = ACK_WAIT_S / 3
"""Seconds between two words to the server that what is in hand is still being worked on."""
_REPORT_EVERY_S: Final = 5.0


class Bookkeeping(Protocol):
    """What the corridor needs done about the consumer and the index's identity."""

    async def save_watermark(self, seq: int) -> None:
        """Keep with the index that everything up to `seq` is applied."""

    async def recreate_consumer(self, after_seq: int) -> None:
        """Make the durable consumer again, so that it delivers what comes after `after_seq`."""

    async def check_owner(self, consumer: ConsumerState) -> None:
        """Make sure that the consumer still feeds this index.

        Raises:
            StartRefused: it was taken over by another.
        """


class Ingest:
    """Runs until told to stop."""

    def __init__(
        self,
        *,
        feed: Deliveries,
        source: Log,
        applier: Applier,
        progress: Progress,
        books: Bookkeeping,
        batch_size: int,
    ) -> None:
        self._feed = feed
        self._source = source
        self._applier = applier
        self._progress = progress
        self._books = books
        self._batch_size = batch_size
        self._stopping = asyncio.Event()
        self._saved_seq = progress.indexed_seq
        self._saved_at = time.monotonic()
        self._checked_at = time.monotonic()
        self._in_hand: Sequence[Delivery] = ()

    def stop(self) -> None:
        """Finish the batch in hand, settle it, and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Follow the log until `stop`; faults of the store, the model or the bus are waited out.

        Raises:
            StartRefused: another indexer took the consumer over.
        """
        touching = asyncio.create_task(self._touch_in_hand())
        try:
            await self._follow()
        finally:
            touching.cancel()
        await self._save(force=True)

    async def _touch_in_hand(self) -> None:
        while True:
            await asyncio.sleep(_TOUCH_EVERY_S)
            with contextlib.suppress(Fault):
                for delivery in (*self._in_hand, *self._feed.waiting()):
                    await delivery.in_progress()

    async def _follow(self) -> None:
        backoff = _FIRST_BACKOFF_S
        begun = False
        while not self._stopping.is_set():
            try:
                if not begun:
                    await self._catch_up()
                    begun = True
                await self._step()
            except ConsumerGone as error:
                log.warning("consumer_gone", detail=str(error), resume_after=self._progress.indexed_seq)
                await self._wait_out(backoff)
                begun = not await self._try_to_recreate()
                backoff = min(backoff * 2, _LAST_BACKOFF_S)
            except Fault as error:
                log.error("ingest_stalled", error=type(error).__name__, detail=str(error)[:300], retry_in_s=backoff)
                await self._wait_out(backoff)
                backoff = min(backoff * 2, _LAST_BACKOFF_S)
                # What was in hand is no longer: read it from the log rather than wait for its redelivery.
                begun = False
            else:
                backoff = _FIRST_BACKOFF_S

    async def _try_to_recreate(self) -> bool:
        try:
            await self._books.recreate_consumer(self._progress.indexed_seq)
        except Fault as error:
            log.error("consumer_not_recreated", detail=str(error)[:300])
            return False
        return True

    async def _wait_out(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _catch_up(self) -> None:
        """Read from the log what was once delivered and is not in the index."""
        try:
            delivered = (await self._feed.state()).delivered_seq
        except ConsumerGone:
            await self._books.recreate_consumer(self._progress.indexed_seq)
            return
        first = self._progress.indexed_seq + 1
        if first > delivered:
            return
        log.info("catching_up", first_seq=first, last_seq=delivered)
        if await self._read_through(delivered):
            log.info("caught_up", indexed_seq=self._progress.indexed_seq)

    async def _read_through(self, last: int) -> bool:
        """Apply what the log has up to `last`; False when told to stop on the way."""
        batch: list[LogMessage] = []
        reported = time.monotonic()
        async for message in self._source.read(self._progress.indexed_seq + 1, last):
            batch.append(message)
            if len(batch) >= self._batch_size or sum(len(one.data) for one in batch) > _BATCH_BYTES:
                await self._apply(batch)
                batch = []
                if self._stopping.is_set():
                    return False
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    log.info("catching_up", indexed_seq=self._progress.indexed_seq, last_seq=last)
        await self._apply(batch)
        self._progress.advance(last)
        return True

    async def _step(self) -> None:
        batch = await self._feed.next_batch(self._batch_size, _IDLE_S)
        if not batch:
            await self._idle()
            return
        await self._take(batch)
        await self._save(force=False)
        if time.monotonic() - self._checked_at > _CHECK_OWNER_EVERY_S:
            await self._check_owner()

    async def _take(self, batch: Sequence[Delivery]) -> None:
        """Apply the new messages of `batch` in order, whatever order they came in, and settle all of them."""
        fresh: dict[int, Delivery] = {}
        twins: list[Delivery] = []
        for delivery in batch:
            seq = delivery.message.seq
            if seq <= self._progress.indexed_seq:
                await self._settle(delivery, refused=self._progress.refusal(seq) is not None)
            elif seq in fresh:
                twins.append(delivery)
            else:
                fresh[seq] = delivery
        self._in_hand = [*fresh.values(), *twins]
        try:
            await self._take_in_order(fresh)
        finally:
            self._in_hand = ()
        for delivery in twins:
            # Not before the first of them is applied, and not at all where that was left to the next start.
            seq = delivery.message.seq
            if seq <= self._progress.indexed_seq:
                await self._settle(delivery, refused=self._progress.refusal(seq) is not None)

    async def _take_in_order(self, fresh: Mapping[int, Delivery]) -> None:
        run: list[Delivery] = []
        expected = self._progress.indexed_seq + 1
        for seq in sorted(fresh):
            if seq != expected:
                # Between lies what is gone from the log, or what was delivered elsewhere: the log knows.
                await self._apply_and_settle(run)
                run = []
                if not await self._read_through(seq - 1):
                    return
            if sum(len(one.message.data) for one in run) > _BATCH_BYTES:
                await self._apply_and_settle(run)
                run = []
                if self._stopping.is_set():
                    return
            run.append(fresh[seq])
            expected = seq + 1
        await self._apply_and_settle(run)

    async def _apply_and_settle(self, run: Sequence[Delivery]) -> None:
        refusals = await self._apply([delivery.message for delivery in run])
        for delivery in run:
            await self._settle(delivery, refused=delivery.message.seq in refusals)

    async def _settle(self, delivery: Delivery, *, refused: bool) -> None:
        if refused:
            await delivery.term()
        else:
            await delivery.ack()

    async def _apply(self, messages: Sequence[LogMessage]) -> dict[int, Refusal]:
        if not messages:
            return {}
        refusals = await self._applier.apply(messages)
        for seq, refusal in refusals.items():
            self._progress.refuse(seq, refusal)
        last = messages[-1].seq
        if any(self._applier.removed_by(message.seq) is not None for message in messages):
            # Whoever asked for a deletion is answered once the watermark passes it: it must not fall back again.
            await self._books.save_watermark(last)
            self._saved_seq, self._saved_at = last, time.monotonic()
        self._progress.advance(last)
        return refusals

    async def _idle(self) -> None:
        """Nothing came: cover a tail of the log that is gone, and save the watermark."""
        log_state = await self._source.state()
        consumer = await self._feed.state()
        if consumer.pending == 0 and consumer.delivered_seq <= self._progress.indexed_seq:
            self._progress.advance(log_state.last_seq)
        elif consumer.delivered_seq > self._progress.indexed_seq and not consumer.pending:
            # Delivered, but never arrived here: a response lost on the way would come again after ack_wait only.
            await self._read_through(consumer.delivered_seq)
        await self._check_owner(consumer)
        await self._save(force=True)

    async def _check_owner(self, consumer: ConsumerState | None = None) -> None:
        await self._books.check_owner(consumer or await self._feed.state())
        self._checked_at = time.monotonic()

    async def _save(self, *, force: bool) -> None:
        seq = self._progress.indexed_seq
        if seq > self._saved_seq and (force or time.monotonic() - self._saved_at > _SAVE_EVERY_S):
            await self._books.save_watermark(seq)
            self._saved_seq, self._saved_at = seq, time.monotonic()
