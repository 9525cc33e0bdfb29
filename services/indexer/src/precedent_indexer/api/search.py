"""The verbs that read: search, get and both stats."""

import time
from typing import Final

from precedent_indexer import __version__
from precedent_indexer.api.filter import compile_filter
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.summary import summary_of
from precedent_indexer.domain.ports import DeadLetters, Deliveries
from precedent_indexer.domain.rows import Row
from precedent_indexer.errors import ConsumerGone, Fault, QuestionFailed
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.runtime.jobs import Jobs
from precedent_schemas import answers, questions
from precedent_schemas.failures import ErrorReason

_STARTED: Final = time.monotonic()
"""When this process began: the answers of a generation that took the place of another go on with its uptime."""


class Answerer:
    """Answers from one index."""

    def __init__(
        self, view: IndexView, *, feed: Deliveries, dead_letters: DeadLetters, jobs: Jobs, liveness: Liveness
    ) -> None:
        self._view = view
        self._feed = feed
        self._dead_letters = dead_letters
        self._jobs = jobs
        self._liveness = liveness

    async def search(self, collection: str, request: questions.SearchRequest) -> answers.SearchReply:
        """The events nearest in meaning, best first."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        vector = await self._view.vector(collection, request.text, request.id)
        # One more than asked for where the event itself must be left out of the answer.
        wanted = request.k + (request.id is not None)
        found = await self._view.nearest(collection, vector, wanted, compile_filter(request.filter))
        least = -1.0 if request.min_similarity is None else request.min_similarity
        hits = [
            answers.Hit(**dict(entry(row)), similarity=similarity)
            for row, similarity in found
            if similarity >= least and row.event.id != request.id
        ][: request.k]
        coverage = await self._view.coverage(covered)
        return answers.SearchReply(**dict(coverage), hits=hits, summary=summary_of(hits))

    async def get(self, collection: str, request: questions.GetRequest) -> answers.GetReply:
        """Events by id, in the order asked."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        ids = list(dict.fromkeys(request.ids))
        rows = await self._view.workers.read(self._view.store.rows, collection, ids)
        return answers.GetReply(
            **dict(await self._view.coverage(covered)),
            events=[entry(rows[one]) for one in ids if one in rows],
            missing=[one for one in ids if one not in rows],
        )

    async def collection_stats(self, collection: str, _request: questions.StatsRequest) -> answers.CollectionStatsReply:
        """Size and coverage of one collection."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        count = await self._view.workers.read(self._view.store.count, collection)
        return answers.CollectionStatsReply(**dict(await self._view.coverage(covered)), count=count)

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
            fault=self._liveness.fault,
            last_progress_at=self._liveness.last_progress_at,
            job=self._jobs.current,
            last_job=self._jobs.last,
        )


def entry(row: Row) -> answers.Entry:
    """A row as callers see it."""
    return answers.Entry(event=row.event, seq=row.seq, outcome=row.outcome.outcome if row.outcome else None)
