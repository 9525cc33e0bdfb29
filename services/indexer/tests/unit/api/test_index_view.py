"""Nearest neighbours under filters on the real store, and what every question shares."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.making import row, unit, writes_of
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.api.filter import compile_filter
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.nearest import find_nearest
from precedent_indexer.domain.index_state import Vector, Writes
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.domain.rows import Row
from precedent_indexer.embedding.displacement import displace
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.index.watermark import Progress
from precedent_schemas.failures import DeadReason, ErrorReason
from precedent_schemas.questions import Filter

C = "incidents"
N = 2_000
COPIES = 600
QUESTIONS = 48

FILTERS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "half": {"severity": {"max": 1}},
    "tenth": {"sources": ["s3"]},
    "hundredth": {"users": ["u7"]},
    "five": {"attributes": {"n": 11}},
    "one": {"ips": ["10.0.7.7"]},
    "nothing": {"users": ["nobody"]},
    "half, by the predicate alone": {"contains": "e"},
    "few, by the predicate alone": {"exclude_ids": [f"e{n}" for n in range(1, 1001)], "contains": "7"},
    "copies alone": {"kinds": ["copy"]},
    "all but copies": {"kinds": ["single"]},
}


def directions(copies: int) -> list[Vector]:
    """One for each row; the first `copies` of them equal but for their displacement."""
    return [displace(unit(0 if n <= copies else n), f"e{n}") for n in range(1, N + 1)]


def made_rows(copies: int) -> list[Row]:
    """Rows that filters of every selectivity find something among."""
    return [
        row(
            f"e{n}",
            n,
            kind="copy" if n <= copies else "single",
            text=f"{'even' if n % 2 == 0 else 'odd'} {n}",
            severity=1 + n % 2,
            source=f"s{n % 10}",
            user=f"u{n % 100}",
            ip=f"10.0.{n // 250}.{n % 250}",
            attributes={"n": n % 400},
        )
        for n in range(1, N + 1)
    ]


class Filled:
    """A real store with 2,000 rows, and what is known of them."""

    def __init__(self, store: ChromaStore, copies: int) -> None:
        self.store = store
        self.rows = made_rows(copies)
        self.vectors = directions(copies)
        pairs = zip(self.rows, self.vectors, strict=True)
        store.write(C, Writes(rows={one.event.id: (one, vector) for one, vector in pairs}))
        self.matrix = np.stack(self.vectors).astype(np.float64)

    def exact(self, vector: Vector, k: int, passing: list[bool]) -> dict[str, float]:
        """The right answer: ids and cosines."""
        cosines = self.matrix @ vector.astype(np.float64)
        order = [n for n in np.argsort(-cosines, kind="stable") if passing[n]][:k]
        return {self.rows[n].event.id: float(cosines[n]) for n in order}


@pytest.fixture(scope="module", params=[0, COPIES], ids=["all distinct", "one text 600 times"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """The store under test."""
    store = ChromaStore.open(tmp_path_factory.mktemp("view"))
    yield Filled(store, request.param)
    store.close()


@pytest.mark.parametrize("name", FILTERS)
def test_recall_at_10(filled: Filled, name: str) -> None:
    """At least 95% of what an exact scan gives is found, whatever part of the rows the filter lets pass.

    What is as near as the tenth counts as found: copies cannot be told apart.
    """
    given = FILTERS[name]
    wanted = compile_filter(Filter.model_validate(given)) if given is not None else None
    passing = [wanted is None or wanted.matches(one) for one in filled.rows]
    found = expected = 0
    for seed in range(QUESTIONS):
        # Half of the questions are about one of the rows itself, half about anything.
        vector = unit(COPIES + 7 * seed) if seed % 2 else unit(10_000 + seed)
        right = filled.exact(vector, 10, passing)
        answer = find_nearest(filled.store, C, vector, 10, wanted)
        assert all(wanted is None or wanted.matches(one) for one, _ in answer)
        assert len(answer) == len(right)
        assert len({one.event.id for one, _ in answer}) == len(answer)
        assert [similarity for _, similarity in answer] == sorted((one for _, one in answer), reverse=True)
        tenth = min(right.values(), default=0.0) - 2e-6
        found += sum(similarity >= tenth for _, similarity in answer)
        expected += len(right)
    assert found >= 0.95 * expected, f"recall {found / expected:.3f}"


def test_every_event_is_found_by_its_own_vector(filled: Filled) -> None:
    """Of one-off events asked for by their own vector, at least 99% are the first hit, copies or not."""
    asked = range(COPIES, N, 7)
    missed = [n for n in asked if find_nearest(filled.store, C, unit(n + 1), 5, None)[0][0].seq != n + 1]
    assert len(missed) <= 0.01 * len(asked), missed


@pytest.mark.parametrize("n", [1, 42, 43, 512, 513, 1000])
def test_any_number_of_neighbours_under_a_filter(filled: Filled, n: int) -> None:
    """Where that many pass the filter, so many come, each once; where fewer pass, all of them."""
    for given in ({"severity": {"max": 1}}, {"sources": ["s3"]}, {"users": ["u7"]}):
        wanted = compile_filter(Filter.model_validate(given))
        assert wanted is not None
        passing = sum(wanted.matches(one) for one in filled.rows)
        found = find_nearest(filled.store, C, unit(5), n, wanted)
        assert len({one.event.id for one, _ in found}) == len(found) == min(n, passing)


# -- what every question shares ----------------------------------------------------------------------------


def view_of(store: FakeVectorStore, log: FakeLog, progress: Progress) -> IndexView:
    """A view over fakes."""
    return IndexView(
        store=store, embedding=embedding_of(FakeEmbedder()), source=log, progress=progress, workers=InlineWorkers()
    )


async def test_coverage_never_flatters() -> None:
    """Coverage shows what was indexed before the index was asked, and where the log ends now."""
    log = FakeLog()
    view = view_of(FakeVectorStore(), log, Progress(0))
    for _ in range(3):
        log.publish_event({"text": "x"})
    coverage = await view.coverage(2)
    assert (coverage.indexed_seq, coverage.stream_seq, coverage.model.name) == (2, 3, "fake")


async def test_read_your_own_write() -> None:
    """Waiting for a sequence ends well when it is covered, with 504 when not, with 409 when it was refused."""
    progress = Progress(5)
    view = view_of(FakeVectorStore(), FakeLog(), progress)
    await view.wait_until_covered(5, 0)
    with pytest.raises(QuestionFailed, match="up to 5, not yet 6") as not_yet:
        await view.wait_until_covered(6, 0)
    assert not_yet.value.reason is ErrorReason.NOT_INDEXED_YET
    progress.refuse(6, Refusal(DeadReason.INVALID, "severity: too high"))
    progress.advance(7)
    with pytest.raises(QuestionFailed, match=r"invalid.*severity: too high") as refused:
        await view.wait_until_covered(6, 0)
    assert (refused.value.reason, refused.value.code) == (ErrorReason.REFUSED, 409)
    await view.wait_until_covered(7, 0)


async def test_what_does_not_exist_is_404() -> None:
    """A collection without an event, and an id that is not there, are not found; a text always has a vector."""
    store = FakeVectorStore()
    view = view_of(store, FakeLog(), Progress(0))
    with pytest.raises(QuestionFailed) as no_collection:
        await view.must_exist(C)
    store.write(C, writes_of(row()))
    await view.must_exist(C)
    with pytest.raises(QuestionFailed) as no_event:
        await view.vector(C, None, "e2")
    assert no_collection.value.code == no_event.value.code == 404
    np.testing.assert_array_equal(await view.vector(C, None, "e1"), unit(1))
    np.testing.assert_array_equal(await view.vector(C, "a text", None), FakeEmbedder().embed(["a text"])[0])
