"""Verbs of operators: the stats of the service and of a collection, and long work on the index."""

import time
from typing import Final

from precedent_indexer import __version__
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.domain.ports import DeadLetters, Deliveries
from precedent_indexer.errors import ConsumerGone, Fault, QuestionFailed
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.runtime.jobs import Jobs, Run
from precedent_schemas import answers, questions
from precedent_schemas.failures import ErrorReason
from precedent_schemas.jobs import REBUILD, REPAIR, VERIFY, JobReply

_STARTED: Final = time.monotonic()
"""When this process started: its uptime does not depend on the generation in use."""


class CollectionStats:
    """The size and coverage of one collection."""

    def __init__(self, view: IndexView) -> None:
        self._view = view

    async def collection_stats(self, collection: str, _request: questions.StatsRequest) -> answers.CollectionStatsReply:
        """Size and coverage of one collection."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        count = await self._view.workers.read(self._view.store.count, collection)
        return answers.CollectionStatsReply(**dict(await self._view.coverage(covered)), count=count)


class Stats:
    """The stats of the whole service."""

    def __init__(
        self, view: IndexView, *, feed: Deliveries, dead_letters: DeadLetters, jobs: Jobs, liveness: Liveness
    ) -> None:
        self._view = view
        self._feed = feed
        self._dead_letters = dead_letters
        self._jobs = jobs
        self._liveness = liveness

    async def stats(self, _collection: str, _request: questions.StatsRequest) -> answers.StatsReply:
        """The indexer at a glance."""
        try:
            return await self._stats()
        except (Fault, ConsumerGone) as error:
            fault = self._liveness.fault
            if fault is None:
                raise
            raise QuestionFailed(ErrorReason.UNAVAILABLE, f"{fault}; ask again later") from error

    async def _stats(self) -> answers.StatsReply:
        covered = self._view.progress.indexed_seq
        store = self._view.store
        counts = await self._view.workers.read(lambda: {name: store.count(name) for name in store.collections()})
        consumer = await self._feed.state()
        log_state = await self._view.source.state()
        return answers.StatsReply(
            indexed_seq=covered,
            stream_seq=max(log_state.last_seq, covered),
            model=self._view.model_details,
            version=__version__,
            uptime_seconds=round(time.monotonic() - _STARTED, 3),
            collections={name: answers.CollectionCount(count=count) for name, count in counts.items()},
            stream=answers.StreamState(last_seq=log_state.last_seq, messages=log_state.messages, bytes=log_state.bytes),
            pending=consumer.pending,
            ack_pending=consumer.ack_pending,
            redelivered=consumer.redelivered,
            dead_letters=await self._dead_letters.count(),
            embedding_cache=self._view.cache_state,
            state=self._liveness.state,
            fault=self._liveness.says,
            last_progress_at=self._liveness.last_progress_at,
            job=self._jobs.current,
            last_job=self._jobs.last,
        )


class JobVerbs:
    """The verbs that begin a job."""

    def __init__(self, jobs: Jobs, *, rebuild: Run, verify: Run, repair: Run) -> None:
        self._jobs = jobs
        self._rebuild = rebuild
        self._verify = verify
        self._repair = repair

    async def rebuild(self, _collection: str, _request: questions.RebuildRequest) -> JobReply:
        """Fill a new generation and switch to it."""
        return self._jobs.start(REBUILD, self._rebuild)

    async def verify(self, _collection: str, request: questions.VerifyRequest) -> JobReply:
        """Compare the log with the index."""
        return self._jobs.start(REPAIR, self._repair) if request.repair else self._jobs.start(VERIFY, self._verify)
