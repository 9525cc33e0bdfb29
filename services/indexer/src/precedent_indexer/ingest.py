"""The write corridor: take what the log has, apply it strictly in its order, settle it.

The durable consumer says that there is something new and keeps the books; the order of the log rules. What it
delivers again is acknowledged and skipped; what it does not deliver (because an earlier life of this process, or
an index that is gone, was given it) is read from the log directly. So the watermark is always a prefix of the log.

Two tasks share the work: one takes messages in order and prepares them (decoding, embedding), the other commits what
is prepared (storing, settling). A short queue between them is all that runs ahead.
"""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from precedent_indexer.applying import Applier, Prepared
from precedent_indexer.errors import ConsumerGone, Fault
from precedent_indexer.ports import ConsumerState, Deliveries, Delivery, Log, LogMessage, LogState
from precedent_indexer.progress import Progress
from precedent_schemas.limits import ACK_WAIT_S

log = structlog.get_logger(__name__)

_IDLE_S: Final = 1.0
"""Seconds of silence after which the tail of the log is looked at: a deleted tail is never delivered."""
_SAVE_EVERY_S: Final = 1.0
"""Seconds between two saves of the watermark; what lies between is applied again after a crash, harmlessly."""
_FIRST_BACKOFF_S: Final = 0.2
_LAST_BACKOFF_S: Final = 10.0
_AHEAD: Final = 2
"""Prepared batches that may wait to be committed: enough to keep both tasks busy, little to lose or to wait for."""
_BATCH_BYTES: Final = 128 * 1024
"""Payload after which a batch is full although it could hold more messages: long texts take long to embed."""
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

    def check_log(self, log_state: LogState) -> None:
        """Make sure that the log is still the one that this index is a view of.

        Raises:
            StartRefused: it was made anew, or is shorter than what was read: only a new start can begin an index anew.
        """

    async def drop_consumer(self) -> None:
        """Delete the durable consumer: it is made again from the watermark."""

    async def check_owner(self, consumer: ConsumerState) -> None:
        """Make sure that the consumer still feeds this index.

        Raises:
            StartRefused: it was taken over by another.
        """


@dataclass(frozen=True, slots=True)
class _Step:
    """What is committed next: a batch (None: nothing but gone messages), then everything up to `upto` is applied."""

    prepared: Prepared | None
    upto: int
    deliveries: Sequence[Delivery] = ()


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
        self._steps: asyncio.Queue[_Step | None] = asyncio.Queue(_AHEAD)
        self._taken = progress.indexed_seq
        self._in_hand: dict[int, Delivery] = {}
        self._committed_any = False
        self._undeliverable_seq: int | None = None
        self._saved_seq = progress.indexed_seq
        self._saved_at = time.monotonic()
        self._checked_at = time.monotonic()

    def stop(self) -> None:
        """Finish what is in hand, settle it, and return from `run`."""
        self._stopping.set()

    async def run(self) -> None:
        """Follow the log until `stop`; faults of the store, the model or the bus are waited out.

        Raises:
            StartRefused: another indexer took the consumer over, or the log is another one.
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
                for delivery in (*self._in_hand.values(), *self._feed.waiting()):
                    await delivery.in_progress()

    async def _follow(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while not self._stopping.is_set():
            # What an interrupted flow had in hand is not settled: it is read from the log again, not waited for.
            self._steps = asyncio.Queue(_AHEAD)
            self._taken = self._progress.indexed_seq
            self._in_hand.clear()
            self._committed_any = False
            try:
                await _together(self._take_all(), self._commit_all())
            except ConsumerGone as error:
                log.warning("consumer_gone", detail=str(error), resume_after=self._progress.indexed_seq)
                await self._wait_out(backoff)
                await self._try_to_recreate()
            except Fault as error:
                log.error("ingest_stalled", error=type(error).__name__, detail=str(error)[:300], retry_in_s=backoff)
                await self._wait_out(backoff)
            backoff = _FIRST_BACKOFF_S if self._committed_any else min(backoff * 2, _LAST_BACKOFF_S)

    async def _try_to_recreate(self) -> None:
        try:
            # A log that was made anew begins at 1: a consumer behind our watermark would never be given anything.
            self._books.check_log(await self._source.state())
            await self._books.recreate_consumer(self._progress.indexed_seq)
        except Fault as error:
            log.error("consumer_not_recreated", detail=str(error)[:300])

    async def _wait_out(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    # -- taking and preparing ---------------------------------------------------------------------------------

    async def _take_all(self) -> None:
        await self._catch_up()
        while not self._stopping.is_set():
            batch = await self._feed.next_batch(self._batch_size, _IDLE_S)
            if batch:
                await self._take(batch)
            else:
                await self._idle()
                await self._get_rid_of_undeliverable()
            if time.monotonic() - self._checked_at > _CHECK_OWNER_EVERY_S:
                await self._check_owner(await self._feed.state())
        await self._steps.put(None)

    async def _catch_up(self) -> None:
        """Read from the log what was once delivered and is not in the index."""
        delivered = (await self._feed.state()).delivered_seq
        if self._taken >= delivered:
            return
        log.info("catching_up", first_seq=self._taken + 1, last_seq=delivered)
        await self._read_through(delivered)

    async def _read_through(self, last: int) -> bool:
        """Take what the log still has up to `last`; False when told to stop on the way."""
        batch: list[LogMessage] = []
        reported = time.monotonic()
        async for message in self._source.read(self._taken + 1, last):
            batch.append(message)
            if _is_undeliverable(message):
                self._undeliverable_seq = message.seq
            if self._is_full(batch):
                await self._prepare(batch)
                batch = []
                if self._stopping.is_set():
                    return False
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    log.info("catching_up", indexed_seq=self._progress.indexed_seq, last_seq=last)
        await self._prepare(batch)
        await self._pass_over(last)
        return True

    async def _take(self, batch: Sequence[Delivery]) -> None:
        """Prepare the new messages of `batch` in order, whatever order they came in; settle those done already."""
        fresh: dict[int, Delivery] = {}
        for delivery in batch:
            seq = delivery.message.seq
            if seq <= self._progress.indexed_seq:
                await self._settle(delivery, refused=self._progress.refusal(seq) is not None)
            elif seq > self._taken:
                fresh[seq] = delivery
            # Else it is on its way already: its first delivery is settled when it is committed.
        self._in_hand |= fresh
        await self._take_in_order(fresh)

    async def _take_in_order(self, fresh: Mapping[int, Delivery]) -> None:
        run: list[Delivery] = []
        expected = self._taken + 1
        for seq in sorted(fresh):
            if seq != expected:
                # Between lies what is gone from the log, or what was delivered elsewhere: the log knows.
                await self._prepare([one.message for one in run], run)
                run = []
                if not await self._read_through(seq - 1):
                    return
            elif self._is_full([one.message for one in run]):
                await self._prepare([one.message for one in run], run)
                run = []
            run.append(fresh[seq])
            expected = seq + 1
        await self._prepare([one.message for one in run], run)

    def _is_full(self, messages: Sequence[LogMessage]) -> bool:
        return len(messages) >= self._batch_size or sum(len(one.data) for one in messages) > _BATCH_BYTES

    async def _prepare(self, messages: Sequence[LogMessage], deliveries: Sequence[Delivery] = ()) -> None:
        if messages:
            prepared = await self._applier.prepare(messages)
            self._taken = messages[-1].seq
            await self._steps.put(_Step(prepared, self._taken, deliveries))

    async def _pass_over(self, seq: int) -> None:
        """Up to `seq`, what was not taken is gone from the log."""
        if seq > self._taken:
            self._taken = seq
            await self._steps.put(_Step(None, seq))

    async def _idle(self) -> None:
        """Nothing came: cover a tail of the log that is gone, and save the watermark."""
        log_state = await self._source.state()
        self._books.check_log(log_state)
        consumer = await self._feed.state()
        if consumer.delivered_seq > self._taken:
            # Delivered, but never arrived here: a response lost on the way would come again after ack_wait only.
            await self._read_through(consumer.delivered_seq)
        elif consumer.pending == 0:
            await self._pass_over(log_state.last_seq)
        await self._check_owner(consumer)
        await self._save(force=True)

    async def _get_rid_of_undeliverable(self) -> None:
        """A delivery that ends the connection would end it after every ack_wait: let a new consumer begin behind it."""
        seq = self._undeliverable_seq
        if seq is not None and self._progress.indexed_seq >= seq:
            self._undeliverable_seq = None
            log.warning("undeliverable_message_passed", seq=seq)
            await self._books.drop_consumer()

    async def _check_owner(self, consumer: ConsumerState) -> None:
        self._checked_at = time.monotonic()
        await self._books.check_owner(consumer)

    # -- committing and settling ------------------------------------------------------------------------------

    async def _commit_all(self) -> None:
        while (step := await self._steps.get()) is not None:
            await self._commit(step)
            self._committed_any = True
            await self._save(force=False)

    async def _commit(self, step: _Step) -> None:
        refusals = await self._applier.commit(step.prepared) if step.prepared else {}
        for seq, refusal in refusals.items():
            self._progress.refuse(seq, refusal)
        if step.prepared and any(self._applier.removed_by(one.seq) is not None for one in step.prepared.messages):
            # Whoever asked for a deletion is answered once the watermark passes it: it must not fall back again.
            await self._books.save_watermark(step.upto)
            self._saved_seq, self._saved_at = step.upto, time.monotonic()
        self._progress.advance(step.upto)
        for delivery in step.deliveries:
            await self._settle(delivery, refused=delivery.message.seq in refusals)

    async def _settle(self, delivery: Delivery, *, refused: bool) -> None:
        self._in_hand.pop(delivery.message.seq, None)
        if refused:
            await delivery.term()
        else:
            await delivery.ack()

    async def _save(self, *, force: bool) -> None:
        seq = self._progress.indexed_seq
        if seq > self._saved_seq and (force or time.monotonic() - self._saved_at > _SAVE_EVERY_S):
            await self._books.save_watermark(seq)
            self._saved_seq, self._saved_at = seq, time.monotonic()


def _is_undeliverable(message: LogMessage) -> bool:
    """Whether the client library breaks over its delivery: a subject that is not UTF-8."""
    return any(char == "\ufffd" or "\ud800" <= char <= "\udfff" for char in message.subject)


async def _together(*parts: Coroutine[None, None, None]) -> None:
    """Run all; the first failure ends the others and is raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
