"""Each text once, questions before events, and a model that is down is noticed whatever is remembered."""

import asyncio
import contextlib
from collections.abc import Sequence

import numpy as np
import pytest

from fakes.embedder import FakeEmbedder, embedding_of
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Vectors
from precedent_indexer.embedding import scheduler as module
from precedent_indexer.embedding.cache import VectorCache
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime.priority import QueryPriority


class Recorder(FakeEmbedder):
    """Keeps what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.down = False

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed, and remember the call."""
        self.calls.append(list(texts))
        if self.down:
            raise RuntimeError("fake: down")
        return super().embed(texts)


async def test_a_known_text_is_not_embedded_again() -> None:
    """Events and questions share the cache, and its statistics count both."""
    recorder = Recorder()
    embedding = embedding_of(recorder, cache_entries=10)
    first = await embedding.of_events(["a", "b", "a"])
    again = await embedding.of_question("b")
    assert recorder.calls == [["a", "b"]]
    assert np.array_equal(first["b"], again)
    assert (embedding.cache.stats.hits, embedding.cache.stats.misses) == (1, 2)


async def test_without_entries_nothing_is_remembered() -> None:
    """A cache of no entries keeps nothing."""
    recorder = Recorder()
    embedding = embedding_of(recorder)
    await embedding.of_events(["a"])
    await embedding.of_events(["a"])
    assert recorder.calls == [["a"], ["a"]]
    assert len(embedding.cache) == 0


def test_the_text_used_longest_ago_is_forgotten_first() -> None:
    """The cache is bounded, and what is used stays."""
    cache = VectorCache(2, "model", discard_metrics())
    vector = np.ones(3, np.float32)
    cache.put("a", vector)
    cache.put("b", vector)
    assert cache.get("a") is not None
    cache.put("c", vector)
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_a_deleted_text_leaves_no_vector() -> None:
    """What is forgotten is gone, and what was never known is no error."""
    cache = VectorCache(10, "model", discard_metrics())
    cache.put("secret", np.ones(3, np.float32))
    cache.forget(["secret", "never seen"])
    assert len(cache) == 0


async def test_questions_in_flight_are_computed_together() -> None:
    """Questions that come while one is computed share the next computation."""
    recorder = Recorder()
    embedding = embedding_of(recorder)
    texts = [f"question {number}" for number in range(5)]
    vectors = await asyncio.gather(*(embedding.of_question(text) for text in texts))
    assert len(recorder.calls) <= 2
    for text, vector in zip(texts, vectors, strict=True):
        assert np.array_equal(vector, FakeEmbedder().embed([text])[0])


async def test_a_failing_question_fails_alone() -> None:
    """Each asker is told of the failure, and the next question is answered."""
    recorder = Recorder()
    embedding = embedding_of(recorder)
    recorder.down = True
    with pytest.raises(RuntimeError, match="down"):
        await embedding.of_question("a")
    recorder.down = False
    assert (await embedding.of_question("a")).shape == (384,)


async def test_a_model_that_is_down_is_noticed_for_known_texts() -> None:
    """The probe asks the model itself, not what is remembered."""
    recorder = Recorder()
    embedding = embedding_of(recorder, cache_entries=10)
    await embedding.embed_uncached("probe")
    recorder.down = True
    with pytest.raises(RuntimeError, match="down"):
        await embedding.embed_uncached("probe")


class HeldWorkers(InlineWorkers):
    """Holds questions until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def ask(self, call, *args, **kwargs):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201, ANN002, ANN003 -- as its base
        """When let go."""
        await self.gate.wait()
        return call(*args, **kwargs)


async def test_events_wait_for_questions_in_hand() -> None:
    """While a question is computed, no slice of events begins; then both are answered."""
    events, questions, workers = Recorder(), Recorder(), HeldWorkers()
    embedding = Embedding(
        events=events, questions=questions, workers=workers, cache_entries=0, metrics=discard_metrics()
    )
    asking = asyncio.create_task(embedding.of_question("urgent"))
    await asyncio.sleep(0)
    indexing = asyncio.create_task(embedding.of_events(["routine"]))
    for _ in range(10):
        await asyncio.sleep(0)
    assert events.calls == []
    workers.gate.set()
    await asking
    assert list(await indexing) == ["routine"]


@pytest.mark.parametrize(("is_asked", "lengths"), [(True, [3, 1, 1]), (False, [5])])
async def test_long_and_short_events_are_sliced_by_length(
    monkeypatch: pytest.MonkeyPatch, *, is_asked: bool, lengths: list[int]
) -> None:
    """A slice holds texts of like length, is small while somebody asks and takes all otherwise; none is lost."""
    priority = QueryPriority()
    monkeypatch.setattr(module, "QUESTIONS", priority)
    recorder = Recorder()
    texts = [("x" * length) + str(length) for length in (3000, 10, 20, 2500, 30)]
    with priority.asking() if is_asked else contextlib.nullcontext():
        found = await embedding_of(recorder).of_events(texts)
    assert set(found) == set(texts)
    assert [len(call) for call in recorder.calls] == lengths
    assert [text for call in recorder.calls for text in call] == sorted(texts, key=len)


async def test_batches_are_embedded_one_after_the_other() -> None:
    """The first is done first; a text that both have is embedded once."""
    recorder = Recorder()
    embedding = Embedding(
        events=recorder, questions=recorder, workers=InlineWorkers(), cache_entries=10, metrics=discard_metrics()
    )
    done: list[str] = []

    async def embed(name: str, texts: list[str]) -> None:
        assert set(await embedding.of_events(texts)) == set(texts)
        done.append(name)

    await asyncio.gather(embed("first", ["a", "b"]), embed("second", ["b", "c"]))
    assert (done, recorder.calls) == (["first", "second"], [["a", "b"], ["c"]])


async def test_a_question_that_must_wait_is_embedded_meanwhile() -> None:
    """What was begun ahead is what the question then gets; it is not computed again."""
    recorder = Recorder()
    embedding = embedding_of(recorder)
    embedding.prefetch("soon")
    embedding.prefetch("soon")
    assert (await embedding.of_question("soon")).shape == (384,)
    assert recorder.calls == [["soon"]]


async def test_the_same_question_at_once_is_embedded_once() -> None:
    """Both askers get the vector, also when one of them gives up before."""
    events, questions, workers = Recorder(), Recorder(), HeldWorkers()
    embedding = Embedding(
        events=events, questions=questions, workers=workers, cache_entries=0, metrics=discard_metrics()
    )
    impatient, patient = (asyncio.create_task(embedding.of_question("both")) for _ in range(2))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.sleep(0)
    workers.gate.set()
    assert (await patient).shape == (384,)
    assert questions.calls == [["both"]]


async def test_what_failed_ahead_fails_nobody_and_is_tried_again() -> None:
    """A model that was down when a question was foreseen does not make the question fail later."""
    recorder = Recorder()
    embedding = embedding_of(recorder)
    recorder.down = True
    embedding.prefetch("soon")
    for _ in range(20):
        await asyncio.sleep(0)
    recorder.down = False
    assert (await embedding.of_question("soon")).shape == (384,)
    assert recorder.calls == [["soon"], ["soon"]]
