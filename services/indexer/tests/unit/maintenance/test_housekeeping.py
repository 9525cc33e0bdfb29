"""What the index does for itself: when it is rebuilt unasked, how often that is tried, and what it lets go of."""

from pathlib import Path

import pytest

from fakes.index_service import FakeIndexService
from fakes.vector_store import FakeVectorStore
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.maintenance import housekeeping
from precedent_indexer.maintenance.housekeeping import Housekeeping
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime.jobs import Jobs
from precedent_schemas.events import Deletion
from precedent_schemas.jobs import VERIFY, JobReport

C = "incidents"


class Kept:
    """An index that is looked after."""

    def __init__(self, service: FakeIndexService, scrub_after_s: float = 0.0) -> None:
        self.service = service
        self.jobs = Jobs(discard_metrics())
        self.running = Housekeeping(
            service=service,
            source=service.log,
            progress=service.progress,
            workers=service.workers,
            jobs=self.jobs,
            rebuilder=service.rebuilder(),
            scrub_after_s=scrub_after_s,
            metrics=discard_metrics(),
        )

    async def look(self) -> str | None:
        """Look once, and let what begins end: why the index was rebuilt, or None."""
        last = self.jobs.last
        await self.running.look()
        ended = await self.jobs.ended()
        if ended is None or ended is last:
            return None
        return ended.report.reason if ended.report else ended.error


@pytest.fixture
async def service(tmp_path: Path) -> FakeIndexService:
    """An index with events in it."""
    made = FakeIndexService(tmp_path)
    for number in range(10):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    await made.start()
    await made.follow()
    return made


async def test_an_index_as_it_should_be_is_left_alone(service: FakeIndexService) -> None:
    """Nothing is rebuilt without a reason."""
    kept = Kept(service, scrub_after_s=1.0)
    assert await kept.look() is None
    assert await kept.look() is None


async def test_deleted_text_is_scrubbed_when_it_is_time(
    service: FakeIndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not before, not where it is switched off, and once: the new generation holds nothing that was deleted."""
    service.log.delete(Deletion(ids=["e1"]))
    await service.follow()
    assert await Kept(service, scrub_after_s=3600.0).look() is None
    assert await Kept(service, scrub_after_s=0.0).look() is None
    monkeypatch.setattr(type(service.index.deleted_text), "age_s", lambda one: 4000.0 if one._noted else None)
    kept = Kept(service, scrub_after_s=3600.0)
    assert await kept.look() == "its files may hold what was deleted more than 3600 s ago"
    assert await kept.look() is None


async def test_a_deletion_of_nothing_asks_for_no_scrub(service: FakeIndexService) -> None:
    """What was not there leaves nothing behind."""
    service.log.delete(Deletion(ids=["nobody"]))
    service.log.delete(Deletion(all=True), collection="rules")
    await service.follow()
    assert service.index.deleted_text.age_s() is None


async def test_after_a_full_disk_the_index_is_rebuilt(service: FakeIndexService) -> None:
    """As soon as something can be written again."""
    kept = Kept(service)
    service.index.store.symptoms.failed("write a", "database or disk is full")
    assert await kept.look() is None
    service.index.store.symptoms.worked("write a", wrote=True)
    assert await kept.look() == "the disk was full: what its files hold is uncertain"


async def test_a_rebuild_that_fails_is_tried_again_later(
    service: FakeIndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, again and again; later it is."""
    monkeypatch.setattr(housekeeping, "_FIRST_RETRY_S", 3600.0)

    def full(_store: FakeVectorStore, _collection: str) -> None:
        raise StoreUnavailable("fake: no space")

    service.index.store.symptoms.failed("write a", "database or disk is full")
    service.index.store.symptoms.worked("write a", wrote=True)
    kept = Kept(service)
    with monkeypatch.context() as patched:
        patched.setattr(FakeVectorStore, "create", full)
        assert await kept.look() is not None
    assert kept.jobs.last is not None
    assert kept.jobs.last.outcome == "failed"
    assert await kept.look() is None
    kept.running._retry_at = 0.0
    assert await kept.look() is not None
    assert kept.jobs.last.outcome == "done"


async def test_another_job_is_not_disturbed(service: FakeIndexService) -> None:
    """While a job runs, no rebuild begins."""
    kept = Kept(service)
    service.index.store.symptoms.failed("write a", "database or disk is full")
    service.index.store.symptoms.worked("write a", wrote=True)

    async def verify(_report: object) -> JobReport:
        await kept.running.look()
        return JobReport()

    kept.jobs.start(VERIFY, verify)
    await kept.jobs.ended()
    assert kept.jobs.last is not None
    assert (kept.jobs.last.kind, kept.jobs.current) == (VERIFY, None)


async def test_what_the_log_gives_up_is_let_go_of(service: FakeIndexService) -> None:
    """At the first look, and whenever the log begins later than before."""
    kept = Kept(service)
    for seq in (1, 2):
        service.log.messages.pop(seq)
    await kept.look()
    assert service.index.store.count(C) == 8
    service.log.messages.pop(3)
    await kept.look()
    assert service.index.store.count(C) == 7


async def test_inherited_vectors_go_when_the_log_is_read(service: FakeIndexService) -> None:
    """A generation begun anew keeps its forerunner's vectors until it has caught up."""
    service.index.close()
    service.index = service.generations.begin(await service.log.state(), service.index.identity.uuid)
    service.progress.rewind(0)
    inherited = service.index.path / "inherited-vectors.sqlite"
    kept = Kept(service)
    await kept.look()
    assert inherited.exists()
    await service.follow()
    await kept.look()
    assert not inherited.exists()
    assert service.index.vectors.find(C, ["event number 3"])
