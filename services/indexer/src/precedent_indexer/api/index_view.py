"""The index as questions see it: what exists, how much is covered, what is near."""

from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from pydantic import BaseModel

from precedent_indexer.api.filter import CompiledFilter
from precedent_indexer.domain.index_state import ModelInfo, Vector, Vectors
from precedent_indexer.domain.ports import Log, VectorStore
from precedent_indexer.domain.rows import Row
from precedent_indexer.embedding.scheduler import VectorCache
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.index.watermark import Progress
from precedent_indexer.runtime.threads import Workers
from precedent_schemas import answers
from precedent_schemas.failures import ErrorReason, FieldProblem

_MS: Final = 1000
_LOOK_AT: Final = 512
"""Nearest events that are looked at without a filter first: quick, and enough for a filter that lets much pass."""
_SAMPLE: Final = 48
"""The first of these; where so few of them pass that the rest would not do, the rest is not read."""
_SCAN: Final = 1_000
"""Events that pass the store's part of a filter, up to which all of them are compared: exact, and no slower."""

_LEAST_PART: Final = 32

Near = list[tuple[Row, float]]
"""Rows and their cosine similarity, best first."""


class QuestionModel(Protocol):
    """The model of the index, as questions need it."""

    @property
    def model(self) -> ModelInfo:
        """Which one."""

    @property
    def cache(self) -> VectorCache:
        """Texts that are known."""

    def prefetch(self, text: str) -> None:
        """Begin the vector of a question that will be asked."""

    async def of_question(self, text: str) -> Vector:
        """The vector of a question.

        Raises:
            QuestionFailed: the model is not here.
        """


class IndexView:
    """What every verb shares."""

    def __init__(
        self, *, store: VectorStore, embedding: QuestionModel, source: Log, progress: Progress, workers: Workers
    ) -> None:
        self.store = store
        self.source = source
        self.progress = progress
        self.workers = workers
        self._embedding = embedding
        self._known: set[str] = set()

    @property
    def model(self) -> answers.ModelRef:
        """Name and fingerprint of the model."""
        return answers.ModelRef(name=self._embedding.model.name, fingerprint=self._embedding.model.fingerprint)

    @property
    def model_details(self) -> answers.ModelDetails:
        """The same with what runs it here."""
        return answers.ModelDetails(**dict(self.model), runtime=self._embedding.model.runtime)

    @property
    def cache_state(self) -> answers.CacheState:
        """How often a text was known already."""
        cache = self._embedding.cache
        return answers.CacheState(entries=len(cache), hits=cache.stats.hits, misses=cache.stats.misses)

    async def wait_until_covered(self, min_seq: int, wait_ms: int) -> None:
        """Read your own write.

        Raises:
            QuestionFailed: not indexed yet after `wait_ms`, or refused, where that very message is a dead letter.
        """
        reached = await self.progress.reach(min_seq, wait_ms / _MS)
        refusal = self.progress.refusal(min_seq)
        if refusal is not None:
            raise QuestionFailed(
                ErrorReason.REFUSED,
                f"message {min_seq} became a dead letter ({refusal.reason}): {refusal.detail}",
                [FieldProblem(field="min_seq", message=f"{refusal.reason}: {refusal.detail}")],
            )
        if not reached:
            raise QuestionFailed(
                ErrorReason.NOT_INDEXED_YET,
                f"the index covers the log up to {self.progress.indexed_seq}, not yet {min_seq} "
                f"after {wait_ms} ms: ask again, or with a longer wait_ms",
            )

    async def must_exist(self, collection: str) -> None:
        """Raises QuestionFailed (not found) for a collection without an event."""
        if collection in self._known:
            return
        if not await self.workers.read(self.store.exists, collection):
            raise QuestionFailed(
                ErrorReason.NOT_FOUND,
                f"collection {collection[:64]!a} does not exist: it begins with its first event",
            )
        # What exists stays, for as long as this index is in use.
        self._known.add(collection)

    async def coverage(self, covered: int) -> answers.Coverage:
        """Coverage of an answer; `covered` was read before the index was asked, the end of the log is read now.

        So neither can flatter.
        """
        state = await self.source.state()
        return answers.Coverage(indexed_seq=covered, stream_seq=max(state.last_seq, covered), model=self.model)

    def prefetch(self, request: BaseModel) -> None:
        """Begin what a question that has to wait will need."""
        text = getattr(request, "text", None)
        if text is not None:
            self._embedding.prefetch(text)

    async def vector(self, collection: str, text: str | None, event_id: str | None) -> Vector:
        """The vector of a text, or the stored one of an event.

        Raises:
            QuestionFailed: not found.
        """
        if text is not None:
            return await self._embedding.of_question(text)
        stored = await self.workers.read(self.store.vector, collection, event_id or "")
        if stored is None:
            raise QuestionFailed(
                ErrorReason.NOT_FOUND,
                f"collection {collection!r} has no event with id {event_id!r}",
                [FieldProblem(field="id", message="is not in the index")],
            )
        return stored

    async def nearest(self, collection: str, vector: Vector, n: int, wanted: CompiledFilter | None) -> Near:
        """The `n` nearest rows that pass the filter."""
        return await self.workers.read(find_nearest, self.store, collection, vector, n, wanted)


def find_nearest(store: VectorStore, collection: str, vector: Vector, n: int, wanted: CompiledFilter | None) -> Near:
    """The `n` nearest rows that pass the filter; blocking.

    First without the filter, many more than asked for: what passes of these is right, since whatever else passes
    is farther away. Where too few pass, the store narrows. What it narrows to is compared as a whole where it is
    little, since a graph of which little is allowed loses its way among equal vectors; otherwise the graph is
    asked, and where even that gives too few, everything is compared after all.
    """
    if wanted is None:
        return store.nearest(collection, vector, n, None)
    if n <= _LOOK_AT:
        near = store.nearest_ids(collection, vector, _LOOK_AT, None)
        everything = len(near) < _LOOK_AT and store.count(collection) <= len(near)
        found = _passing(store, collection, near[:_SAMPLE], n, wanted)
        if everything or len(found) * _LOOK_AT >= n * _SAMPLE:
            found += _passing(store, collection, near[_SAMPLE:], n - len(found), wanted)
        if everything or len(found) == n:
            return found
    if wanted.where is not None:
        ids, vectors = store.vectors(collection, wanted.where, _SCAN + 1)
        if len(ids) <= _SCAN:
            return _passing(store, collection, _compared(ids, vectors, vector), n, wanted)
        found = _passing(store, collection, store.nearest_ids(collection, vector, 2 * n, wanted.where), n, wanted)
        if len(found) == n:
            return found
    ids, vectors = store.vectors(collection, wanted.where, None)
    return _passing(store, collection, _compared(ids, vectors, vector), n, wanted)


def _passing(
    store: VectorStore, collection: str, near: Sequence[tuple[str, float]], n: int, wanted: CompiledFilter
) -> Near:
    """The first `n` of `near` that pass; rows are read in parts, since the first few often suffice."""
    found: Near = []
    if n <= 0:
        return found
    part = max(_LEAST_PART, 2 * n)
    for start in range(0, len(near), part):
        some = near[start : start + part]
        rows = store.rows(collection, [event_id for event_id, _ in some])
        found += [(rows[one], similarity) for one, similarity in some if one in rows and wanted.matches(rows[one])]
        if len(found) >= n:
            break
    return found[:n]


def _compared(ids: Sequence[str], vectors: Vectors, vector: Vector) -> list[tuple[str, float]]:
    """Every id with its cosine similarity, best first."""
    if not ids:
        return []
    lengths = np.linalg.norm(vectors, axis=1) * float(np.linalg.norm(vector))
    near = np.clip(vectors @ vector / lengths, -1.0, 1.0)
    return [(ids[at], round(float(near[at]), 6)) for at in np.argsort(-near, kind="stable")]
