"""Schedules embeddings: each distinct text once, and questions before events.

Events are embedded in slices, which are small while questions arrive. Between two slices the ingest waits while
questions are being embedded, so that a question shares the processor with at most one slice. Questions have a session
of their own; those that arrive while one batch is computed form the next batch.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from precedent_indexer.domain.index_state import ModelInfo, Vector
from precedent_indexer.domain.ports import Embedder
from precedent_indexer.embedding.cache import VectorCache
from precedent_indexer.embedding.model_files import DIMENSIONS, NAME
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.observability.metrics import Metrics, discard_metrics
from precedent_indexer.runtime.priority import QUESTIONS
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.failures import ErrorReason

_SLICE_CHARS: Final = 16_384
"""Characters of one slice of events while no questions arrive: a whole batch, handed to the runtime at once."""
_SLICE_CHARS_ASKED: Final = 1_024
"""Characters of one slice while questions arrive: about 250 word pieces, a few dozen milliseconds."""
_TOGETHER: Final = 16
"""Most questions in one batch."""
_PATIENCE_S: Final = 0.25
"""Most seconds that one slice of events waits for questions, so that events progress under any load."""


Keep = Callable[[Mapping[str, Vector]], Awaitable[None]]
"""Takes vectors by their texts."""


def _no_sign() -> None:
    """Does nothing."""


async def _keep_nothing(_vectors: Mapping[str, Vector]) -> None:
    """Does nothing: after a crash the vectors are computed again."""


class Embedding:
    """Embeds events and questions."""

    def __init__(
        self,
        *,
        events: Embedder,
        questions: Embedder,
        workers: Workers,
        cache_entries: int,
        metrics: Metrics,
    ) -> None:
        """`events` and `questions` are sessions of the same model."""
        self._metrics = metrics
        self._events = events
        self._questions = questions
        self._workers = workers
        self.cache = VectorCache(cache_entries, events.model.fingerprint, self._metrics)
        self.model = _named(events.model, questions.model)
        self._asked: dict[str, asyncio.Future[Vector]] = {}
        self._waiting: list[str] = []
        self._computing: asyncio.Task[None] | None = None
        self._no_questions = asyncio.Event()
        self._no_questions.set()
        self._batch = asyncio.Lock()
        self._callers: list[Callable[[], None]] = []

    async def of_events(
        self, texts: Sequence[str], *, alive: Callable[[], None] = _no_sign, keep: Keep = _keep_nothing
    ) -> dict[str, Vector]:
        """The vector of each distinct text; calls are served one after the other, in their order.

        Args:
            texts: the texts.
            alive: called after each computed slice, also while the call waits for the batch of another.
            keep: called with the vectors of each slice of this batch once they are computed.

        Raises:
            Exception: any error of the runtime; it does not tell which text caused it.
        """
        self._callers.append(alive)
        try:
            async with self._batch:
                return await self._of_batch(texts, keep)
        finally:
            self._callers.remove(alive)

    async def _of_batch(self, texts: Sequence[str], keep: Keep) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        unknown: list[str] = []
        for text in dict.fromkeys(texts):
            vector = self.cache.get(text)
            if vector is None:
                unknown.append(text)
            else:
                found[text] = vector
        # Texts of similar length share a slice, so that little of it is padding.
        unknown.sort(key=len)
        while unknown:
            await self._let_questions_pass()
            part = _slice(unknown, _SLICE_CHARS_ASKED if QUESTIONS.asked_lately else _SLICE_CHARS)
            del unknown[: len(part)]
            with self._metrics.embedding_seconds.labels("events").time():
                vectors = await self._workers.embed(self._events.embed, part)
            computed = dict(zip(part, vectors, strict=True))
            for text, vector in computed.items():
                self.cache.put(text, vector)
            found |= computed
            for alive in self._callers:
                alive()
            await keep(computed)
        return found

    async def embed_uncached(self, text: str) -> Vector:
        """The vector of one text, computed without the cache, to check that the model works."""
        vector: Vector = (await self._workers.embed(self._events.embed, [text]))[0]
        return vector

    async def of_question(self, text: str) -> Vector:
        """The vector of one question."""
        known = self.cache.get(text)
        # Callers with the same question share the computation: one of them must not cancel it for the others.
        return known if known is not None else await asyncio.shield(self._asked_for(text))

    def prefetch(self, text: str) -> None:
        """Begin to embed a question that waits for the index to catch up."""
        if text not in self.cache:
            self._asked_for(text)

    def _asked_for(self, text: str) -> asyncio.Future[Vector]:
        if text not in self._asked:
            self._asked[text] = asyncio.get_running_loop().create_future()
            # Reads the exception, so that asyncio does not report it if no caller waits any more.
            self._asked[text].add_done_callback(lambda answer: answer.cancelled() or answer.exception())
            self._waiting.append(text)
            if self._computing is None:
                self._no_questions.clear()
                self._computing = asyncio.create_task(self._compute_questions())
        return self._asked[text]

    async def _compute_questions(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
                await self._compute(batch)
        finally:
            self._computing = None
            self._no_questions.set()

    async def _compute(self, batch: Sequence[str]) -> None:
        try:
            with self._metrics.embedding_seconds.labels("questions").time():
                vectors = await self._workers.ask(self._questions.embed, batch)
        except Exception as error:  # noqa: BLE001 -- each caller gets it; the next batch is computed nevertheless
            for text in batch:
                self._asked.pop(text).set_exception(error)
            return
        for text, vector in zip(batch, vectors, strict=True):
            self.cache.put(text, vector)
            self._asked.pop(text).set_result(np.asarray(vector))

    async def _let_questions_pass(self) -> None:
        if self._no_questions.is_set():
            return
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._no_questions.wait()
        except TimeoutError:
            return


class AbsentModel:
    """Stands in for the model of an index whose model is not installed any more."""

    def __init__(self, fingerprint: str, share_done: Callable[[], float]) -> None:
        """`share_done`: progress of the rebuild with the installed model, 0 to 1."""
        self.model = ModelInfo(NAME, fingerprint, DIMENSIONS, "none")
        self.cache = VectorCache(0, fingerprint, discard_metrics())
        self._share_done = share_done

    def prefetch(self, _text: str) -> None:
        """Does nothing."""

    async def of_question(self, _text: str) -> Vector:
        """Raises QuestionFailed (unavailable): text cannot be compared with the vectors of another model."""
        raise QuestionFailed(
            ErrorReason.UNAVAILABLE,
            f"the index was made by model {self.model.fingerprint}, which is not here any more; it is rebuilt by the "
            f"one that is, {self._share_done():.0%} so far: ask for text again when that is done, or by id now",
        )


def _named(events: ModelInfo, questions: ModelInfo) -> ModelInfo:
    """The model; its runtime names both runtimes if they differ."""
    if events.runtime == questions.runtime:
        return events
    return replace(events, runtime=f"{events.runtime}, questions {questions.runtime}")


def _slice(texts: Sequence[str], chars: int) -> list[str]:
    """The first texts that have at most `chars` characters together; at least one."""
    end, size = 1, len(texts[0])
    while end < len(texts) and size + len(texts[end]) <= chars:
        size += len(texts[end])
        end += 1
    return list(texts[:end])
