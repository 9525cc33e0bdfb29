"""The log against the index, both ways."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.beside_store import NoMarker, NoVectors
from fakes.chaos import Chaos
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.making import decided, row, writes_of
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Writes
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.maintenance.verify import Subject, Verifier
from precedent_indexer.observability.metrics import discard_metrics
from precedent_schemas.events import Deletion, Verdict
from precedent_schemas.jobs import JobReport
from precedent_schemas.limits import MAX_JOB_EXAMPLES

C = "incidents"


class Index:
    """A log, an index that has applied it, and what can be done to either behind its back."""

    def __init__(self) -> None:
        self.log = FakeLog()
        self.store = FakeVectorStore(Chaos({}))
        self.dead_letters = FakeDeadLetters()
        self.progress = Progress(0)
        self.saved: list[int] = []
        self.on_hold = lambda: None
        self.phases: list[str] = []
        workers = InlineWorkers()
        self.applier = Applier(
            store=self.store,
            embedding=embedding_of(FakeEmbedder()),
            dead_letters=self.dead_letters,
            source=self.log,
            workers=workers,
            max_collections=2,
            vectors=NoVectors(),
            deleted_text=NoMarker(),
            deletion_results=DeletionResults(),
            metrics=discard_metrics(),
        )
        self.subject = Subject(
            store=self.store,
            source=self.log,
            applier=self.applier,
            refused=self.dead_letters,
            progress=self.progress,
            workers=workers,
            hold=self._hold,
            save_watermark=self._save,
        )

    @contextlib.asynccontextmanager
    async def _hold(self) -> AsyncIterator[None]:
        self.on_hold()
        yield

    async def _save(self, seq: int) -> None:
        self.saved.append(seq)

    async def follow(self) -> None:
        """Apply what the log has."""
        messages = [one async for one in self.log.read(self.progress.indexed_seq + 1, self.log.last_seq)]
        await self.applier.apply(messages)
        self.progress.advance(self.log.last_seq)

    async def verify(self) -> JobReport:
        """Compare."""
        return await Verifier(self.subject).verify(lambda phase, _done, _target: self.phases.append(phase))

    async def repair(self) -> JobReport:
        """Compare and mend."""
        return await Verifier(self.subject).repair(lambda phase, _done, _target: self.phases.append(phase))


def found(report: JobReport) -> dict[str, str]:
    """What is wrong with which id."""
    return {one.id: one.what for one in report.examples}


@pytest.fixture
async def index() -> Index:
    """Ten events, two decisions, a revision, a deletion, a dead letter, and a second collection."""
    index = Index()
    for number in range(10):
        index.log.publish_event({"text": f"event {number}", "id": f"e{number}", "attributes": {"n": [3, 1, 2]}})
    index.log.publish_event({"text": "revised", "id": "e1", "user": "admin"})
    index.log.publish_outcome({"event_id": "e2", "verdict": "benign"})
    index.log.publish_outcome({"event_id": "to-come", "verdict": "true_positive"})
    index.log.publish_event({"text": ""})
    index.log.publish_event({"text": "a rule", "id": "r0"}, collection="rules")
    index.log.publish_event({"text": "one too many", "id": "x0"}, collection="beyond-the-cap")
    index.log.delete(Deletion(ids=["e9"]))
    await index.follow()
    assert len(index.dead_letters.letters) == 2
    return index


async def test_an_index_that_followed_its_log_has_nothing_wrong(index: Index) -> None:
    """Revisions, outcomes before their event, deletions and both kinds of dead letters are no differences."""
    report = await index.verify()
    assert (report.events, report.missing, report.orphaned, report.differing) == (10, 0, 0, 0)
    assert report.examples == []
    assert report.rebuild_advised is False
    assert report.repaired is None


async def test_everything_that_was_done_from_outside_is_found(index: Index) -> None:
    """Rows removed, added and changed, outcomes forged, hidden and forgotten, a vector gone: each by its name."""
    held, _ = index.store.contents(C)
    index.store.remove(C, ["e3"], [])
    index.store.write(C, writes_of(row("intruder", 4)))
    index.store.write(C, writes_of(replace(held["e4"], event=held["e4"].event.model_copy(update={"severity": 5}))))
    index.store.write(C, writes_of(replace(held["e1"], seq=2)))
    index.store.write(C, Writes(joined={"e2": None}))
    index.store.write(C, Writes(outcomes={"e5": decided("e5", 12, Verdict.FALSE_POSITIVE)}))
    index.store.remove(C, [], ["to-come"])
    del index.store._events[C].vectors["e6"]
    index.store.write("rules", Writes(seqs={"r0": (1,)}))
    report = await index.verify()
    assert found(report) == {
        "e3": "missing",
        "intruder": "orphaned",
        "e4": "content",
        "e1": "revision",
        "e2": "outcome",
        "e5": "outcome",
        "to-come": "outcome",
        "e6": "vector",
        "r0": "revision",
    }
    assert (report.missing, report.orphaned, report.differing) == (1, 1, 7)
    assert report.rebuild_advised
    assert index.phases[0] == "reading"
    assert "walking" in index.phases


async def test_repair_mends_everything_from_the_log(index: Index) -> None:
    """After a repair the index is as it was before anybody touched it, and a second look finds nothing."""
    before = {name: index.store.contents(name) for name in (C, "rules")}
    held = before[C][0]
    index.store.remove(C, ["e3", "e0"], ["e2"])
    index.store.write(C, writes_of(row("intruder", 4)))
    index.store.write(C, writes_of(replace(held["e1"], seq=2)))
    index.store.write("strange", writes_of(row("other", 4)))
    report = await index.repair()
    assert (report.missing, report.orphaned, report.differing, report.repaired) == (2, 2, 2, 6)
    assert report.rebuild_advised is False
    assert {name: index.store.contents(name) for name in (C, "rules")} == before
    assert index.store.contents("strange") == ({}, {})
    assert (await index.verify()).examples == []
    assert index.progress.indexed_seq == index.log.last_seq


async def test_a_deleted_event_that_is_back_is_an_orphan(index: Index) -> None:
    """A row that a restored copy brought back after its deletion is found, and a repair removes it."""
    index.store.write(C, writes_of(row("e9", 10)))
    assert found(await index.repair()) == {"e9": "orphaned"}
    assert "e9" not in index.store.contents(C)[0]


async def test_what_changes_meanwhile_is_no_difference(index: Index) -> None:
    """Events published, revised and deleted while it compares are looked at again, and nothing is wrong with them."""
    index.store.remove(C, ["e7"], [])
    index.store.write(C, writes_of(row("newer", 18)))

    def publish() -> None:
        if index.log.last_seq == 17:
            index.log.publish_event({"text": "text of newer", "id": "newer", "occurred_at": "2026-01-31T12:00:00Z"})
            index.log.delete(Deletion(ids=["e7"]))
            index.progress.advance(19)

    index.on_hold = publish
    report = await index.verify()
    assert report.examples == []


async def test_what_the_log_no_longer_has_by_its_own_limits_is_no_orphan(index: Index) -> None:
    """Rows older than the log's beginning leave the index by retention: they are not reported, nor taken out."""
    for seq in (1, 3, 4):
        index.log.lose(seq)
    index.log.lose(2)
    report = await index.repair()
    assert report.examples == []
    assert index.store.count(C) == 9


async def test_what_was_taken_out_of_the_middle_of_the_log_is_an_orphan(index: Index) -> None:
    """A message that somebody erased from the log by hand takes its event with it: the log is the truth."""
    index.log.lose(5)
    assert found(await index.repair()) == {"e4": "orphaned"}


async def test_the_watermark_stays_behind_what_is_being_mended(index: Index) -> None:
    """While a row is out of the index, the saved watermark is before it, so that a crash brings it back."""
    index.store.remove(C, ["e6", "e4"], [])
    await index.repair()
    assert index.saved == [4, 17]


async def test_a_mending_that_fails_is_left_to_the_log(index: Index) -> None:
    """When the store fails in the middle, the index covers no more than what is surely in it, and says so."""
    index.store.remove(C, ["e4"], [])
    index.store.write(C, writes_of(row("e6", 4)))
    fails = StoreUnavailable("fake: full")

    def fail(*_: object) -> None:
        raise fails

    index.store.write = fail  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await index.repair()
    assert index.progress.indexed_seq == 4
    assert index.saved == [4]


async def test_examples_are_few(index: Index) -> None:
    """However much is wrong, all is counted and a few of each sort are named."""
    for number in range(100):
        index.store.write(C, writes_of(row(f"intruder-{number}", 4)))
    report = await index.verify()
    assert report.orphaned == 100
    assert len(report.examples) == MAX_JOB_EXAMPLES
