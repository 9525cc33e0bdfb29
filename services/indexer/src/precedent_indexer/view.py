"""The index as questions see it: what exists, how much is covered, what is near."""

import heapq
from collections.abc import Sequence
from typing import Final

import numpy as np

from precedent_indexer.errors import QuestionFailed
from precedent_indexer.filters import CompiledFilter
from precedent_indexer.ports import Embedder, Log, Vector, VectorStore
from precedent_indexer.progress import Progress
from precedent_indexer.records import Row
from precedent_indexer.workers import Workers
from precedent_schemas import answers
from precedent_schemas.failures import ErrorReason, FieldProblem

_MS: Final = 1000
_OVERFETCH: Final = 12
"""Times k that is looked at without a filter first: quick, and enough for a filter that lets much pass."""
_LEAST_FETCH: Final = 64
_MOST_FETCH: Final = 512
"""More costs more than asking the store to narrow."""

Near = list[tuple[Row, float]]
"""Rows and their cosine similarity, best first."""


class IndexView:
    """What every verb shares."""

    def __init__(
        self, *, store: VectorStore, embedder: Embedder, source: Log, progress: Progress, workers: Workers
    ) -> None:
        self.store = store
        self.source = source
        self.progress = progress
        self.workers = workers
        self._embedder = embedder

    @property
    def model(self) -> answers.ModelRef:
        """Name and fingerprint of the model."""
        return answers.ModelRef(name=self._embedder.model.name, fingerprint=self._embedder.model.fingerprint)

    @property
    def model_details(self) -> answers.ModelDetails:
        """The same with what runs it here."""
        return answers.ModelDetails(**dict(self.model), runtime=self._embedder.model.runtime)

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
        if not await self.workers.read(self.store.exists, collection):
            raise QuestionFailed(
                ErrorReason.NOT_FOUND,
                f"collection {collection[:64]!a} does not exist: it begins with its first event",
            )

    async def coverage(self, covered: int) -> answers.Coverage:
        """Coverage of an answer; `covered` was read before the index was asked, the end of the log is read now.

        So neither can flatter.
        """
        state = await self.source.state()
        return answers.Coverage(indexed_seq=covered, stream_seq=max(state.last_seq, covered), model=self.model)

    async def vector(self, collection: str, text: str | None, event_id: str | None) -> Vector:
        """The vector of a text, or the stored one of an event.

        Raises:
            QuestionFailed: not found.
        """
        if text is not None:
            embedded: Vector = (await self.workers.read(self._embedder.embed, [text]))[0]
            return embedded
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

    First without the filter, a few times as many: what passes of these is right, since whatever else passes is
    farther away. Where too few pass, the store narrows; where it narrows to so little that its graph might lose
    its way, every row that it lets pass is looked at.
    """
    if wanted is None:
        return store.nearest(collection, vector, n, None)
    fetch = max(_LEAST_FETCH, _OVERFETCH * n)
    if fetch <= _MOST_FETCH:
        everything = store.nearest(collection, vector, fetch, None)
        found = _passing(everything, wanted, n)
        if len(found) == n or len(everything) < fetch:
            return found
    if wanted.where is not None:
        narrowed = store.nearest(collection, vector, 2 * n, wanted.where)
        found = _passing(narrowed, wanted, n)
        if len(found) == n:
            return found
    return _scan(store, collection, vector, n, wanted)


def _passing(rows: Near, wanted: CompiledFilter, n: int) -> Near:
    return [(row, similarity) for row, similarity in rows if wanted.matches(row)][:n]


def _scan(store: VectorStore, collection: str, vector: Vector, n: int, wanted: CompiledFilter) -> Near:
    best: Near = []
    for rows, vectors in store.scan(collection, wanted.where):
        near = _similarities(vectors, vector)
        passing = [(row, similarity) for row, similarity in zip(rows, near, strict=True) if wanted.matches(row)]
        best = heapq.nlargest(n, [*best, *passing], key=lambda pair: pair[1])
    return best


def _similarities(vectors: np.ndarray, vector: Vector) -> Sequence[float]:
    lengths = np.linalg.norm(vectors, axis=1) * float(np.linalg.norm(vector))
    return [round(float(one), 6) for one in np.clip(vectors @ vector / lengths, -1.0, 1.0)]
