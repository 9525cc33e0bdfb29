"""Sets the gauges every few seconds, so that a scrape finds every value in memory."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog

from precedent_indexer.api.server import QueryServer
from precedent_indexer.domain.ports import DeadLetters, Deliveries, Log
from precedent_indexer.errors import ConsumerGone, Fault
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.supervisor import Ingest
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.observability.metrics import JOB_KINDS, Metrics
from precedent_indexer.runtime.jobs import Jobs
from precedent_indexer.runtime.threads import Workers

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
_COUNT_EVERY_S: Final = 60.0
"""Seconds between two counts of the events: with many collections a count takes the store long."""


class ObservedIndex(IndexService, Protocol):
    """The active index, with the parts whose state becomes a gauge."""

    @property
    def ingest(self) -> Ingest:
        """Its ingest."""

    @property
    def query_server(self) -> QueryServer:
        """Its query server."""

    @property
    def jobs(self) -> Jobs:
        """Its jobs."""

    @property
    def progress(self) -> Progress:
        """How much of the log it covers."""

    @property
    def cache_entries(self) -> int:
        """Texts whose vector is in memory."""


class Observer:
    """Sets the gauges."""

    def __init__(
        self,
        *,
        service: ObservedIndex,
        metrics: Metrics,
        feed: Deliveries,
        source: Log,
        dead_letters: DeadLetters,
        workers: Workers,
    ) -> None:
        self._service = service
        self._metrics = metrics
        self._feed = feed
        self._workers = workers
        self._log = _LogGauges(metrics, feed, source, dead_letters, service.progress)
        self._counted_at = -_COUNT_EVERY_S

    async def run(self) -> None:
        """Look until cancelled."""
        await _again_and_again(self.look)

    async def look(self) -> None:
        """Set every gauge that can be read; where the bus or the store fails, theirs stay as they were."""
        self._look_at_the_process()
        await self._log.look()
        with contextlib.suppress(Fault):
            await self._look_at_the_store()
        self._metrics.observed_timestamp.set_to_current_time()

    def _look_at_the_process(self) -> None:
        service, metrics = self._service, self._metrics
        liveness, identity = service.ingest.liveness, service.index.identity
        metrics.state.state(liveness.state)
        if liveness.last_progress_at is not None:
            metrics.last_progress_timestamp.set(liveness.last_progress_at.timestamp())
        metrics.queue_length.labels("delivered").set(len(self._feed.waiting()))
        metrics.queue_length.labels("unsettled").set(service.ingest.pending_acks)
        metrics.queue_length.labels("questions").set(service.query_server.working)
        metrics.queue_length.labels("waiting_for_index").set(service.query_server.awaiting)
        metrics.cache_entries.set(service.cache_entries)
        metrics.outdated.set(service.index.outdated is not None)
        metrics.index.info(
            {"uuid": identity.uuid, "generation": service.index.path.name, "fingerprint": identity.fingerprint}
        )
        job = service.jobs.current
        for kind in JOB_KINDS:
            running = job is not None and job.kind == kind
            metrics.job_running.labels(kind).set(running)
            share = job.done_seq / job.target_seq if running and job is not None and job.target_seq else 0
            metrics.job_progress.labels(kind).set(min(1.0, share))

    async def _look_at_the_store(self) -> None:
        index = self._service.index
        self._metrics.disk_full.set(index.store.symptoms.disk_is_full)
        self._metrics.residue_age_seconds.set(index.deleted_text.age_s() or 0)
        with contextlib.suppress(OSError):
            usage = await self._workers.read(shutil.disk_usage, index.path)
            self._metrics.disk_free_bytes.set(usage.free)
            self._metrics.disk_size_bytes.set(usage.total)
        if time.monotonic() - self._counted_at >= _COUNT_EVERY_S:
            counts = await self._workers.read(lambda: [index.store.count(one) for one in index.store.collections()])
            self._counted_at = time.monotonic()
            self._metrics.collections.set(len(counts))
            self._metrics.events.set(sum(counts))


class FollowerMetrics:
    """Sets those gauges that a replica has which does not write."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        feed: Deliveries,
        source: Log,
        dead_letters: DeadLetters,
        progress: Progress,
        liveness: Liveness,
    ) -> None:
        self._metrics = metrics
        self._liveness = liveness
        self._log = _LogGauges(metrics, feed, source, dead_letters, progress)

    async def run(self) -> None:
        """Look until cancelled."""
        await _again_and_again(self.look)

    async def look(self) -> None:
        """Set them."""
        self._metrics.state.state(self._liveness.state)
        await self._log.look()
        self._metrics.observed_timestamp.set_to_current_time()


class _LogGauges:
    """The log, and how far the index is behind it."""

    def __init__(
        self, metrics: Metrics, feed: Deliveries, source: Log, dead_letters: DeadLetters, progress: Progress
    ) -> None:
        self._metrics = metrics
        self._feed = feed
        self._source = source
        self._dead_letters = dead_letters
        self._progress = progress

    async def look(self) -> None:
        """Set what can be read; where the bus fails, the rest stays as it was."""
        covered = self._progress.indexed_seq
        self._metrics.indexed_sequence.set(covered)
        try:
            await self._read(covered)
        except (Fault, ConsumerGone):
            self._metrics.nats_up.set(0)
        else:
            self._metrics.nats_up.set(1)

    async def _read(self, covered: int) -> None:
        metrics = self._metrics
        log_state = await self._source.state()
        metrics.log_last_sequence.set(log_state.last_seq)
        metrics.log_messages.set(log_state.messages)
        metrics.log_bytes.set(log_state.bytes)
        metrics.lag_messages.set(max(0, log_state.last_seq - covered))
        metrics.lag_seconds.set(await self._age_of_the_oldest(covered + 1, log_state.last_seq))
        metrics.dead_letter_messages.set(await self._dead_letters.count())
        consumer = await self._feed.state()
        metrics.consumer_pending.set(consumer.pending)
        metrics.consumer_unacknowledged.set(consumer.ack_pending)
        metrics.consumer_redelivered.set(consumer.redelivered)

    async def _age_of_the_oldest(self, first: int, last: int) -> float:
        """Seconds since the first message from `first` to `last` was stored; 0 where there is none."""
        async for message in self._source.read(first, last):
            return max(0.0, (datetime.now(UTC) - message.stored_at).total_seconds())
        return 0.0


async def _again_and_again(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await look()
        except Exception as error:  # noqa: BLE001 -- who watches must never end what is watched
            log.error("not_observed", error=type(error).__name__)
        await asyncio.sleep(_LOOK_EVERY_S)
