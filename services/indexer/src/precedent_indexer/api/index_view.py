"""The index as questions see it: what exists, how much is covered, what is near."""

from typing import Final, Protocol

from pydantic import BaseModel

from precedent_indexer.api.filter import CompiledFilter
from precedent_indexer.api.nearest import Near, find_nearest
from precedent_indexer.domain.index_state import ModelInfo, Vector
from precedent_indexer.domain.ports import Log, VectorStore
from precedent_indexer.embedding.cache import VectorCache
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.index.watermark import Progress
from precedent_indexer.runtime.threads import Workers
from precedent_schemas import answers
from precedent_schemas.failures import ErrorReason, FieldProblem

_MS: Final = 1000


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
