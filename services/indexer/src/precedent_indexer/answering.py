"""The read corridor: a valid question in, an answer with its coverage out."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from precedent_indexer import __version__
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.ports import DeadLetters, Deliveries, Embedder, Log, Vector, VectorStore
from precedent_indexer.progress import Progress
from precedent_indexer.records import Row
from precedent_indexer.workers import Workers
from precedent_schemas import answers, questions
from precedent_schemas.failures import ErrorReason, FieldProblem

_MS: Final = 1000


class Answerer:
    """Answers each verb from one index."""

    def __init__(
        self,
        *,
        store: VectorStore,
        embedder: Embedder,
        source: Log,
        feed: Deliveries,
        dead_letters: DeadLetters,
        progress: Progress,
        workers: Workers,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._source = source
        self._feed = feed
        self._dead_letters = dead_letters
        self._progress = progress
        self._workers = workers
        self._started = time.monotonic()

    async def wait_until_covered(self, min_seq: int, wait_ms: int) -> None:
        """Read your own write.

        Raises:
            QuestionFailed: not indexed yet after `wait_ms`, or refused, where that very message is a dead letter.
        """
        reached = await self._progress.reach(min_seq, wait_ms / _MS)
        refusal = self._progress.refusal(min_seq)
        if refusal is not None:
            raise QuestionFailed(
                ErrorReason.REFUSED,
                f"message {min_seq} became a dead letter ({refusal.reason}): {refusal.detail}",
                [FieldProblem(field="min_seq", message=f"{refusal.reason}: {refusal.detail}")],
            )
        if not reached:
            raise QuestionFailed(
                ErrorReason.NOT_INDEXED_YET,
                f"the index covers the log up to {self._progress.indexed_seq}, not yet {min_seq} "
                f"after {wait_ms} ms: ask again, or with a longer wait_ms",
            )

    async def search(self, collection: str, request: questions.SearchRequest) -> answers.SearchReply:
        """The events nearest in meaning, best first."""
        await self._must_exist(collection)
        covered = self._progress.indexed_seq
        vector = await self._vector(collection, request.text, request.id)
        # More than asked for where the event itself must be left out of the answer.
        wanted = request.k + (request.id is not None)
        found = await self._workers.read(self._store.nearest, collection, vector, wanted, None)
        least = -1.0 if request.min_similarity is None else request.min_similarity
        hits = [
            answers.Hit(
                event=row.event,
                seq=row.seq,
                outcome=row.outcome.outcome if row.outcome else None,
                similarity=similarity,
            )
            for row, similarity in found
            if similarity >= least and row.event.id != request.id
        ][: request.k]
        coverage = await self._coverage(covered)
        return answers.SearchReply(**dict(coverage), hits=hits, summary=_summary(hits))

    async def get(self, collection: str, request: questions.GetRequest) -> answers.GetReply:
        """Events by id, in the order asked."""
        await self._must_exist(collection)
        covered = self._progress.indexed_seq
        ids = list(dict.fromkeys(request.ids))
        rows = await self._workers.read(self._store.rows, collection, ids)
        coverage = await self._coverage(covered)
        return answers.GetReply(
            **dict(coverage),
            events=[_entry(rows[one]) for one in ids if one in rows],
            missing=[one for one in ids if one not in rows],
        )

    async def collection_stats(self, collection: str, _request: questions.StatsRequest) -> answers.CollectionStatsReply:
        """Size and coverage of one collection."""
        await self._must_exist(collection)
        covered = self._progress.indexed_seq
        count = await self._workers.read(self._store.count, collection)
        return answers.CollectionStatsReply(**dict(await self._coverage(covered)), count=count)

    async def stats(self, _collection: str, _request: questions.StatsRequest) -> answers.StatsReply:
        """The indexer at a glance."""
        covered = self._progress.indexed_seq
        counts = await self._workers.read(lambda: {name: self._store.count(name) for name in self._store.collections()})
        consumer = await self._feed.state()
        log_state = await self._source.state()
        model = self._embedder.model
        return answers.StatsReply(
            indexed_seq=covered,
            stream_seq=log_state.last_seq,
            model=answers.ModelRef(name=model.name, fingerprint=model.fingerprint, runtime=model.runtime),
            version=__version__,
            uptime_seconds=round(time.monotonic() - self._started, 3),
            collections={name: answers.CollectionCount(count=count) for name, count in counts.items()},
            stream=answers.StreamState(last_seq=log_state.last_seq, messages=log_state.messages, bytes=log_state.bytes),
            pending=consumer.pending,
            ack_pending=consumer.ack_pending,
            redelivered=consumer.redelivered,
            dead_letters=await self._dead_letters.count(),
        )

    async def _must_exist(self, collection: str) -> None:
        if not await self._workers.read(self._store.exists, collection):
            raise QuestionFailed(
                ErrorReason.NOT_FOUND,
                f"collection {collection[:64]!a} does not exist: it begins with its first event",
            )

    async def _vector(self, collection: str, text: str | None, event_id: str | None) -> Vector:
        if text is not None:
            embedded: Vector = (await self._workers.read(self._embedder.embed, [text]))[0]
            return embedded
        stored = await self._workers.read(self._store.vector, collection, event_id or "")
        if stored is None:
            raise QuestionFailed(
                ErrorReason.NOT_FOUND,
                f"collection {collection!r} has no event with id {event_id!r}",
                [FieldProblem(field="id", message="is not in the index")],
            )
        return stored

    async def _coverage(self, covered: int) -> answers.Coverage:
        # What is covered is read before the index is asked, the end of the log after: neither can flatter.
        state = await self._source.state()
        model = self._embedder.model
        return answers.Coverage(
            indexed_seq=covered,
            stream_seq=max(state.last_seq, covered),
            model=answers.ModelRef(name=model.name, fingerprint=model.fingerprint),
        )


def _entry(row: Row) -> answers.Entry:
    return answers.Entry(event=row.event, seq=row.seq, outcome=row.outcome.outcome if row.outcome else None)


def _summary(hits: Sequence[answers.Hit]) -> answers.Summary:
    decided = [hit.outcome for hit in hits if hit.outcome is not None]
    seen = [hit.event.occurred_at for hit in hits]
    return answers.Summary(
        verdicts=dict(Counter(str(outcome.verdict) for outcome in decided)),
        mitigations=dict(Counter(outcome.mitigation for outcome in decided if outcome.mitigation)),
        first_seen=min(seen, default=None),
        last_seen=max(seen, default=None),
    )
