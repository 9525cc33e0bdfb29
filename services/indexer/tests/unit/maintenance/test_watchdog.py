"""A store that fails for long is looked at: opened anew where its files are sound, begun anew where they are not."""

import shutil
from pathlib import Path

import pytest

from fakes.index_service import FakeIndexService
from fakes.vector_store import FakeVectorStore
from precedent_indexer.errors import StartRefused
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.maintenance import watchdog
from precedent_indexer.maintenance.watchdog import StoreWatchdog


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_FOR_S", 0.0)
    monkeypatch.setattr(watchdog, "_PATIENCE_S", 0.0)


@pytest.fixture
async def service(tmp_path: Path) -> FakeIndexService:
    """An index with events in it."""
    made = FakeIndexService(tmp_path)
    for number in range(5):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    await made.start()
    await made.follow()
    return made


def watchdog_of(service: FakeIndexService) -> StoreWatchdog:
    """The guard of this service."""
    return StoreWatchdog(
        service=service,
        generations=service.generations,
        source=service.log,
        progress=service.progress,
        workers=service.workers,
        probe=service.disk.probe,
    )


def fail(service: FakeIndexService, times: int = 5, words: str = "broken") -> None:
    """Let the store fail so many times."""
    for _ in range(times):
        service.index.store.symptoms.failed("write collection incidents", words)


async def test_a_store_that_works_is_left_alone(service: FakeIndexService) -> None:
    """Also one that failed a few times, whose disk is full, or that is about to be replaced."""
    store_watchdog = watchdog_of(service)
    await store_watchdog.look()
    fail(service, 4)
    await store_watchdog.look()
    fail(service, 10, "database or disk is full")
    await store_watchdog.look()
    service.index.store.symptoms.worked("create", wrote=True)
    service.is_rebuilding = True
    await store_watchdog.look()
    assert service.events == []


async def test_sound_files_are_opened_anew(service: FakeIndexService) -> None:
    """Nothing is lost, nothing is read again: the same generation, answering again."""
    fail(service)
    before = service.index
    await watchdog_of(service).look()
    assert service.events == ["held", "shut", f"took over {before.path.name}"]
    assert service.index.path == before.path
    assert service.progress.indexed_seq == 5


async def test_broken_files_are_begun_anew(service: FakeIndexService) -> None:
    """Another generation of the same index, with an honest watermark, and with the vectors of the old one."""
    fail(service)
    before = service.index
    service.disk.unsound.add(before.path)
    await watchdog_of(service).look()
    assert service.index.path != before.path
    assert service.index.identity.uuid == before.identity.uuid
    assert (service.index.identity.watermark, service.progress.indexed_seq) == (0, 0)
    assert service.index.vectors.find("incidents", ["event number 3"])
    assert not before.path.exists()
    await service.follow()
    assert service.index.store.count("incidents") == 5


@pytest.mark.parametrize("whole", [True, False])
async def test_a_directory_that_is_gone_is_begun_anew(service: FakeIndexService, *, whole: bool) -> None:
    """Noticed although the store works on: the same index again, in a directory that is there and locked."""
    before, root = service.index, service.disk.directory.path
    shutil.rmtree(root if whole else before.path)
    await watchdog_of(service).look()
    assert service.events == ["held", "shut", f"took over {service.index.path.name}"]
    assert not service.index.is_gone()
    assert service.index.identity.uuid == before.identity.uuid
    assert (service.index.identity.watermark, service.progress.indexed_seq) == (0, 0)
    with pytest.raises(StartRefused):
        IndexDirectory(root)
    await service.follow()
    assert service.index.store.count("incidents") == 5
    assert service.disk.directory.current() == service.index.path


async def test_another_directory_in_its_place_is_not_written_to_as_if_it_were_ours(service: FakeIndexService) -> None:
    """A copy that was put there while the index was open is replaced from the log: nobody knows what is in it."""
    before = service.index
    aside = before.path.with_name("aside")
    before.path.rename(aside)
    shutil.copytree(aside, before.path)
    await watchdog_of(service).look()
    assert service.index.path != before.path
    assert service.index.identity.watermark == 0


async def test_a_directory_that_somebody_else_has_ends_the_process(service: FakeIndexService) -> None:
    """Deleted, and made again by another indexer: two cannot have it, and the supervisor starts us again."""
    root = service.disk.directory.path
    shutil.rmtree(root)
    other = IndexDirectory(root)
    with pytest.raises(StartRefused, match="in use by another process"):
        await watchdog_of(service).look()
    other.close()


async def test_what_cannot_be_mended_now_is_mended_later(
    service: FakeIndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no new generation can be made, the guard tries again until one can: the service is not left shut."""
    fail(service)
    service.disk.unsound.add(service.index.path)
    store_watchdog = watchdog_of(service)

    def full(_store: FakeVectorStore, _collection: str) -> None:
        raise OSError("fake: no space")

    with monkeypatch.context() as patched:
        patched.setattr(FakeVectorStore, "create", full)
        await store_watchdog.look()
    assert service.events == ["held", "shut"]
    service.index.store.symptoms.worked("write collection incidents", wrote=True)
    await store_watchdog.look()
    assert service.events[-1].startswith("took over")
    assert service.index.identity.watermark == 0
