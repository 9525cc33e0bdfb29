"""Runs the pipeline again after every fault, until told to stop.

A fault of a dependency is retried with backoff and reported in `stats`; no message is refused for it. A pipeline that
makes no progress although messages wait is restarted once; if that does not help, the process ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import structlog

from precedent_indexer.domain.ports import Deliveries, Log
from precedent_indexer.errors import ConsumerGone, Fault, Stalled
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.acks import PendingAcks
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_indexer.ingest.pipeline import Pipeline, PipelineContext
from precedent_indexer.observability.metrics import Metrics
from precedent_schemas.limits import ACK_WAIT_S

log = structlog.get_logger(__name__)

_FIRST_BACKOFF_S: Final = 0.2
_LAST_BACKOFF_S: Final = 10.0
_TOUCH_EVERY_S: Final = ACK_WAIT_S / 3
"""Seconds between two restarts of ack_wait for the messages in flight."""
_WATCH_EVERY_S: Final = 5.0
_SILENCE_S: Final = 120.0
"""Seconds without progress, although messages wait, after which a run has stalled.

Progress is each slice that is embedded, each part of a batch that is stored or refused, and each part of an erasure:
the longest of these takes seconds on a whole core.
"""


class Ingest:
    """The ingest: runs until told to stop."""

    def __init__(
        self,
        *,
        feed: Deliveries,
        source: Log,
        applier: Applier,
        progress: Progress,
        checkpoint: Checkpoint,
        batch_size: int,
        metrics: Metrics,
        saves_each: bool,
    ) -> None:
        self.liveness = Liveness()
        self._context = PipelineContext(
            feed=feed,
            source=source,
            applier=applier,
            progress=progress,
            checkpoint=checkpoint,
            pending_acks=PendingAcks(progress),
            liveness=self.liveness,
            batch_size=batch_size,
            metrics=metrics,
            saves_each=saves_each,
        )
        self._stopping = asyncio.Event()
        self._draining = asyncio.Event()
        """Set while no message is taken: paused, or stopping."""
        self._free = asyncio.Event()
        self._free.set()
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._holding = asyncio.Lock()

    @property
    def pending_acks(self) -> int:
        """Number of deliveries that are not settled."""
        return len(self._context.pending_acks)

    def stop(self) -> None:
        """Finish and settle the messages in flight, and return from `run`."""
        self._stopping.set()
        self._draining.set()
        self._free.set()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Pause: inside, no message is taken, committed or saved; messages in flight are committed and settled first.

        The watermark does not move inside, and the pipeline continues from it afterwards. One holder at a time.
        If the pipeline does not run (not yet, or no longer), there is nothing to wait for.
        """
        async with self._holding:
            self._free.clear()
            self._draining.set()
            try:
                await self._quiet.wait()
                yield
            finally:
                self._free.set()
                if not self._stopping.is_set():
                    self._draining.clear()

    def use(self, applier: Applier, checkpoint: Checkpoint) -> None:
        """Continue with another index, from the watermark in `progress` when the pause ends; only while paused.

        Raises:
            RuntimeError: the ingest is not paused: two indexes would be mixed.
        """
        if not (self._holding.locked() and self._quiet.is_set()):
            raise RuntimeError("another index can only be put into use while the ingest is paused")
        self._context = replace(self._context, applier=applier, checkpoint=checkpoint)

    async def run(self) -> None:
        """Follow the log until `stop`; faults of the store, the model or the bus are retried.

        Raises:
            StartRefused: another indexer has claimed the consumer, or the log is another one.
            Stalled: the index does not advance, and a restart of the pipeline did not help.
        """
        touching = asyncio.create_task(self._touch_in_progress())
        try:
            await self._run_after_run()
        finally:
            touching.cancel()
            self._quiet.set()
        with contextlib.suppress(Fault):
            await self._context.pending_acks.give_back()
        if not self._holding.locked():
            # Again, in case the last run failed; messages that are not saved are only applied again.
            with contextlib.suppress(Fault):
                await self._context.checkpoint.save_watermark(self._context.progress.indexed_seq)

    async def _touch_in_progress(self) -> None:
        while True:
            await asyncio.sleep(_TOUCH_EVERY_S)
            with contextlib.suppress(Fault):
                await self._context.pending_acks.touch(self._context.feed.waiting())

    async def _run_after_run(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while not self._stopping.is_set():
            if not self._free.is_set():
                self._quiet.set()
                await self._free.wait()
                continue
            self._quiet.clear()
            begun_at = self._context.progress.indexed_seq
            try:
                await self._watched(Pipeline(self._context, self._draining))
            except ConsumerGone as error:
                self._count(error)
                log.warning("consumer_gone", detail=str(error), resume_after=self._context.progress.indexed_seq)
                self.liveness.fault = "the durable consumer is gone"
                await self._wait_out(backoff)
                await self._try_to_recreate()
            except Fault as error:
                self._count(error)
                log.error("ingest_fault", error=type(error).__name__, detail=str(error)[:300], retry_in_s=backoff)
                self.liveness.fault = error.says
                await self._wait_out(backoff)
            else:
                backoff = _FIRST_BACKOFF_S
                continue
            advanced = self._context.progress.indexed_seq > begun_at
            backoff = _FIRST_BACKOFF_S if advanced else min(backoff * 2, _LAST_BACKOFF_S)

    async def _watched(self, pipeline: Pipeline) -> None:
        """Run the pipeline until it ends or stalls."""
        self.liveness.begin()
        running = asyncio.create_task(pipeline.run(to_the_end=self.liveness.stalls > 0))
        try:
            while not (await asyncio.wait({running}, timeout=_WATCH_EVERY_S))[0]:
                if self.liveness.silence_s() > _SILENCE_S:
                    self._give_up()
                    return
            await running
        finally:
            running.cancel()
            await asyncio.wait({running})

    def _count(self, error: Exception) -> None:
        self._context.metrics.faults.labels(type(error).__name__).inc()

    def _give_up(self) -> None:
        self.liveness.stalls += 1
        self._context.metrics.faults.labels(Stalled.__name__).inc()
        covered = self._context.progress.indexed_seq
        if self.liveness.stalls > 1:
            raise Stalled(
                f"the index stays at {covered} although the log goes on, and a restart of the pipeline did not help; "
                "the process ends, so that the supervisor starts it again"
            )
        log.error("ingest_stalled", indexed_seq=covered, silent_s=_SILENCE_S, remedy="the pipeline is restarted")

    async def _try_to_recreate(self) -> None:
        context = self._context
        try:
            # A recreated log begins at 1: a consumer that starts after our watermark would deliver nothing.
            context.checkpoint.check_log(await context.source.state())
            await context.checkpoint.recreate_consumer(context.progress.indexed_seq)
            context.pending_acks.forget()
        except Fault as error:
            log.error("consumer_not_recreated", detail=str(error)[:300])
            self.liveness.fault = error.says

    async def _wait_out(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._draining.wait()
        except TimeoutError:
            return
