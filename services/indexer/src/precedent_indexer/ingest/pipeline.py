"""One run of the ingest, from the watermark on: take, prepare, commit, settle.

The durable consumer announces new messages and tracks which are settled; messages are applied in the order of the
log. Redelivered messages that are applied already are acknowledged and skipped. Messages that the consumer does not
deliver, since it has delivered them to an earlier process, are read from the log directly. So the watermark is always
a prefix of the log.

Two tasks share the work: one takes messages in order and prepares them (decoding, embedding), the other commits the
prepared batches (storing, settling). A short queue between them bounds how far the first runs ahead, and lets the
model go from batch to batch without waiting for Chroma. Messages that were in flight at a crash are processed one at
a time, with nothing else in flight.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Final

import structlog

from precedent_indexer.domain.messages import ConsumerState, LogMessage, Refusal
from precedent_indexer.domain.ports import Deliveries, Delivery, Log
from precedent_indexer.errors import ConsumerGone, Fault, StartRefused
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.acks import PendingAcks
from precedent_indexer.ingest.applier import Applier, Prepared
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_indexer.ingest.suspects import SuspectIsolation
from precedent_indexer.observability import tracing
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.tasks import cancel_all, run_together

log = structlog.get_logger(__name__)

_IDLE_S: Final = 1.0
"""Seconds of silence after which the end of the log is checked: deleted messages are never delivered."""
_SAVE_EVERY_S: Final = 1.0
"""Seconds between two saves of the watermark; messages since the last save are applied again after a crash."""
_AHEAD: Final = 2
"""Batches that may wait to be committed: enough to keep the model busy, few to lose in a crash or to wait for."""
_BATCH_BYTES: Final = 128 * 1024
"""Payload that fills a batch before its number of messages does: long texts take long to embed."""
_CHECK_OWNER_EVERY_S: Final = 5.0
_REPORT_EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class PipelineContext:
    """What a run works with; the supervisor keeps it from run to run."""

    feed: Deliveries
    source: Log
    applier: Applier
    progress: Progress
    checkpoint: Checkpoint
    pending_acks: PendingAcks
    liveness: Liveness
    batch_size: int
    metrics: Metrics
    saves_each: bool
    """Whether the watermark is saved with every batch, since other replicas read it."""


@dataclass(frozen=True, slots=True)
class _Step:
    """The next commit: a batch, or None if every message up to `upto` is gone from the log."""

    prepared: asyncio.Future[Prepared] | None
    upto: int
    spans: tracing.Batch = tracing.NO_BATCH


class Pipeline:
    """One run: it ends with the first fault, or normally once `draining` is set."""

    def __init__(self, context: PipelineContext, draining: asyncio.Event) -> None:
        self._with = context
        self._draining = draining
        self._journal = context.checkpoint.journal
        context.applier.alive = context.liveness.begin
        self._steps: asyncio.Queue[_Step | None] = asyncio.Queue(_AHEAD)
        self._preparing: set[asyncio.Future[Prepared]] = set()
        self._taken = context.progress.indexed_seq
        self._suspects = SuspectIsolation(self._journal, context.applier)
        self._saved_seq = -1
        self._saved_at = self._checked_at = time.monotonic()

    async def run(self, *, to_the_end: bool = False) -> None:
        """Follow the log.

        Args:
            to_the_end: first read up to the end of the log directly, since the consumer seems to deliver nothing.

        Raises:
            Fault: the store, the model or the bus failed.
            ConsumerGone: the durable consumer was deleted.
            StartRefused: another indexer has claimed the consumer, or the log is another one.
        """
        try:
            await self._with.pending_acks.settle()
            await run_together(self._take_all(to_the_end=to_the_end), self._commit_all())
            await self._save(force=True)
        except (Fault, ConsumerGone, StartRefused, asyncio.CancelledError):
            # None of these is caused by the messages in flight.
            self._journal.clear()
            raise
        finally:
            await cancel_all(self._preparing)
        self._journal.clear()

    # -- taking and preparing ---------------------------------------------------------------------------------

    async def _take_all(self, *, to_the_end: bool) -> None:
        await self._catch_up(to_the_end=to_the_end)
        while not self._draining.is_set():
            batch = await self._with.feed.next_batch(self._with.batch_size, _IDLE_S)
            if batch:
                await self._take(batch)
            else:
                await self._idle()
            if time.monotonic() - self._checked_at > _CHECK_OWNER_EVERY_S:
                await self._check_owner(await self._with.feed.state())
        await self._steps.put(None)

    async def _catch_up(self, *, to_the_end: bool) -> None:
        """Read from the log the messages that were delivered to an earlier process and are not in the index."""
        last = (await self._with.feed.state()).delivered_seq
        end = (await self._with.source.state()).last_seq
        if self._taken == 0:
            self._with.liveness.fill(end)
        if to_the_end:
            last = max(last, end)
        if self._taken >= last:
            return
        log.info("catching_up", first_seq=self._taken + 1, last_seq=last)
        await self._read_through(last)

    async def _read_through(self, last: int) -> bool:
        """Take the messages that the log still has up to `last`; False if the run is draining before the end."""
        batch: list[LogMessage] = []
        reported = time.monotonic()
        async for message in self._with.source.read(self._taken + 1, last):
            batch.append(message)
            if self._is_full(batch):
                await self._prepare(batch)
                batch = []
                if self._draining.is_set():
                    return False
                if time.monotonic() - reported > _REPORT_EVERY_S:
                    reported = time.monotonic()
                    log.info("catching_up", indexed_seq=self._with.progress.indexed_seq, last_seq=last)
        await self._prepare(batch)
        await self._pass_over(last)
        return True

    async def _take(self, batch: Sequence[Delivery]) -> None:
        """Prepare the new messages of `batch` in the order of the log; settle those that are applied already."""
        self._with.pending_acks.add(batch)
        await self._with.pending_acks.settle()
        # Messages up to `_taken` are in flight already, and settled when they are committed.
        await self._take_in_order({one.message.seq: one.message for one in batch if one.message.seq > self._taken})

    async def _take_in_order(self, fresh: Mapping[int, LogMessage]) -> None:
        run: list[LogMessage] = []
        expected = self._taken + 1
        for seq in sorted(fresh):
            if seq != expected:
                # Messages in between are gone from the log, or were delivered to an earlier process: the log is read.
                await self._prepare(run)
                run = []
                if not await self._read_through(seq - 1):
                    return
            elif self._is_full(run):
                await self._prepare(run)
                run = []
            run.append(fresh[seq])
            expected = seq + 1
        await self._prepare(run)

    def _is_full(self, messages: Sequence[LogMessage]) -> bool:
        return len(messages) >= self._with.batch_size or sum(len(one.data) for one in messages) > _BATCH_BYTES

    async def _prepare(self, messages: Sequence[LogMessage]) -> None:
        for suspected, part in groupby(messages, key=lambda one: self._journal.suspect(one.seq)):
            if suspected:
                await self._handle_alone(next(part))
            else:
                await self._hand_on(list(part))

    async def _hand_on(self, messages: Sequence[LogMessage]) -> None:
        self._journal.take(self._with.progress.indexed_seq + 1, messages[-1].seq)
        spans = tracing.Batch(messages)
        preparing = asyncio.ensure_future(self._prepared(messages, spans))
        self._preparing.add(preparing)
        preparing.add_done_callback(self._preparing.discard)
        self._taken = messages[-1].seq
        await self._steps.put(_Step(preparing, self._taken, spans))

    async def _handle_alone(self, message: LogMessage) -> None:
        """Process a suspected message with nothing else in flight, so that a second crash identifies it."""
        await self._steps.join()
        spans = tracing.Batch([message])
        prepared: asyncio.Future[Prepared] = asyncio.get_running_loop().create_future()
        prepared.set_result(await self._suspects.prepare(message, partial(self._prepared, spans=spans)))
        self._taken = message.seq
        await self._steps.put(_Step(prepared, self._taken, spans))
        await self._steps.join()

    async def _prepared(self, messages: Sequence[LogMessage], spans: tracing.Batch) -> Prepared:
        with self._with.metrics.stage("prepare"), spans.stage("prepare"):
            prepared = await self._with.applier.prepare(messages)
        self._with.progress.prepare(messages[-1].seq)
        return prepared

    async def _pass_over(self, seq: int) -> None:
        """Note that the messages up to `seq` that were not taken are gone from the log."""
        if seq > self._taken:
            self._taken = seq
            await self._steps.put(_Step(None, seq))

    async def _idle(self) -> None:
        """No delivery came: pass over deleted messages at the end of the log, and save the watermark."""
        log_state = await self._with.source.state()
        self._with.checkpoint.check_log(log_state)
        consumer = await self._with.feed.state()
        if consumer.delivered_seq > self._taken:
            # Delivered, but lost on the way: the server would redeliver it only after ack_wait.
            await self._read_through(consumer.delivered_seq)
        elif consumer.pending == 0 and log_state.last_seq > self._taken:
            # The consumer has nothing more to deliver, so the rest should be gone: the log is read to make sure.
            await self._read_through(log_state.last_seq)
        await self._check_owner(consumer)
        await self._save(force=True)
        if self._with.progress.indexed_seq >= log_state.last_seq:
            await self._with.applier.idle()
            self._with.liveness.hear()

    async def _check_owner(self, consumer: ConsumerState) -> None:
        self._checked_at = time.monotonic()
        await self._with.checkpoint.check_owner(consumer)

    # -- committing and settling ------------------------------------------------------------------------------

    async def _commit_all(self) -> None:
        while (step := await self._steps.get()) is not None:
            self._with.metrics.queue_length.labels("prepared").set(self._steps.qsize())
            await self._commit(step)
            self._steps.task_done()
            await self._save(force=False)

    async def _commit(self, step: _Step) -> None:
        applier, checkpoint, progress = self._with.applier, self._with.checkpoint, self._with.progress
        messages: Sequence[LogMessage] = ()
        if step.prepared:
            prepared = await step.prepared
            messages = prepared.messages
            with self._with.metrics.stage("commit"), step.spans.stage("commit"):
                refusals = await applier.commit(prepared)
            step.spans.end(refusals)
            self._note(messages, refusals)
        if any(applier.removed_by(one.seq) is not None for one in messages):
            # The caller of a deletion gets its reply once the watermark passes it: the watermark must be saved first.
            await checkpoint.save_watermark(step.upto)
            self._saved_seq, self._saved_at = step.upto, time.monotonic()
        progress.advance(step.upto)
        self._with.liveness.advance(step.upto)
        self._journal.done(step.upto)
        with self._with.metrics.stage("settle"):
            await self._with.pending_acks.settle()

    def _note(self, messages: Sequence[LogMessage], refusals: Mapping[int, Refusal]) -> None:
        for seq, refusal in refusals.items():
            self._with.progress.refuse(seq, refusal)
            self._with.metrics.dead_letters.labels(str(refusal.reason)).inc()
        self._with.metrics.note_delays(one.stored_at for one in messages)

    async def _save(self, *, force: bool) -> None:
        seq = self._with.progress.indexed_seq
        if seq > self._saved_seq and (
            force or self._with.saves_each or time.monotonic() - self._saved_at > _SAVE_EVERY_S
        ):
            await self._with.checkpoint.save_watermark(seq)
            self._saved_seq, self._saved_at = seq, time.monotonic()
