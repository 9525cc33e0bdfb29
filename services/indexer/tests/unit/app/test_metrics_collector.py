"""The process looks at itself: every gauge says what is, and what fails leaves the others in peace."""

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.chaos import Chaos
from fakes.checkpoint import FakeCheckpoint
from fakes.deliveries import FakeDeliveries
from fakes.index_service import FakeIndexService
from fakes.scraped import scraped
from precedent_indexer.api.server import QueryServer
from precedent_indexer.app.metrics_collector import FollowerMetrics, Observer
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.ingest.supervisor import Ingest
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.jobs import Jobs, ReportProgress
from precedent_schemas.jobs import REBUILD, JobReport


class Watched(FakeIndexService):
    """An indexer that is looked at; its corridor does not run by itself."""

    async def start(self) -> None:
        """Open the index, and put the corridors around it."""
        await super().start()
        chaos = Chaos()
        self.metrics = Metrics()
        self.feed = FakeDeliveries(self.log, chaos)
        self.ingest = Ingest(
            feed=self.feed,
            source=self.log,
            applier=self.filler(self.index),
            progress=self.progress,
            checkpoint=FakeCheckpoint(self.feed, chaos),
            batch_size=4,
            saves_each=False,
            metrics=self.metrics,
        )
        self.jobs = Jobs(self.metrics)
        self.cache_entries = 3

        async def nothing(*_: object) -> None: ...

        self.query_server = QueryServer(
            {},
            reply=nothing,
            wait_until_covered=nothing,
            prefetch=nothing,
            max_payload=lambda: 1000,
            at_once=1,
            waiting=1,
            metrics=self.metrics,
        )
        self.observer = Observer(
            service=self,
            metrics=self.metrics,
            feed=self.feed,
            source=self.log,
            dead_letters=self.dead_letters,
            workers=self.workers,
        )

    def found(self, name: str, **labels: str) -> float:
        """What a scrape would find now."""
        return scraped(self.metrics, name, **labels)


@pytest.fixture
async def watched(tmp_path: Path) -> Watched:
    """An index of three events, and two more messages in the log."""
    made = Watched(tmp_path)
    for number in range(3):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    await made.start()
    await made.follow()
    for number in range(2):
        made.log.publish_event({"id": f"late{number}", "text": f"late event {number}"})
    return made


async def test_the_lag_is_told_in_messages_and_in_seconds(watched: Watched) -> None:
    """Behind by two, and by the age of the older of them; caught up, by nothing."""
    await watched.observer.look()
    assert watched.found("indexed_sequence") == 3
    assert watched.found("log_last_sequence") == 5
    assert watched.found("lag_messages") == 2
    assert watched.found("lag_seconds") > 0
    assert watched.found("consumer_pending_messages") == 5
    await watched.follow()
    await watched.observer.look()
    assert watched.found("lag_messages") == watched.found("lag_seconds") == 0


async def test_the_index_is_described(watched: Watched) -> None:
    """How much is in it, where it lies, which model made it, and how it is."""
    await watched.observer.look()
    assert watched.found("index_events") == 3
    assert watched.found("index_collections") == len(watched.index.store.collections())
    assert 0 < watched.found("index_disk_free_bytes") <= watched.found("index_disk_size_bytes")
    assert watched.found("embedding_cache_entries") == 3
    assert watched.found("index_outdated") == watched.found("index_disk_full") == 0
    assert watched.found("index_residue_age_seconds") == 0
    assert watched.found("state", precedent_state="serving") == 1
    identity = watched.index.identity
    assert (
        watched.found(
            "index_info",
            uuid=identity.uuid,
            generation=watched.index.path.name,
            fingerprint=identity.fingerprint,
        )
        == 1
    )


async def test_a_fault_that_is_waited_out_shows(watched: Watched) -> None:
    """The state is what `stats` says."""
    watched.ingest.liveness.fault = "fake: down"
    await watched.observer.look()
    assert watched.found("state", precedent_state="unavailable") == 1
    assert watched.found("state", precedent_state="serving") == 0


async def test_a_job_shows_how_far_it_is(watched: Watched) -> None:
    """While it runs it is 1, with its share of the way; afterwards both are 0."""
    go_on, reported = asyncio.Event(), asyncio.Event()

    async def slow(report: ReportProgress) -> JobReport:
        report("filling", 1, 4)
        reported.set()
        await go_on.wait()
        return JobReport()

    watched.jobs.start(REBUILD, slow)
    await reported.wait()
    await watched.observer.look()
    assert watched.found("job_running", kind="rebuild") == 1
    assert watched.found("job_progress_ratio", kind="rebuild") == 0.25
    assert watched.found("job_running", kind="verify") == 0
    go_on.set()
    await watched.jobs.ended()
    await watched.observer.look()
    assert watched.found("job_running", kind="rebuild") == watched.found("job_progress_ratio", kind="rebuild") == 0


async def test_without_a_bus_the_rest_is_told_nevertheless(watched: Watched) -> None:
    """The bus is down: that is said, what it would say stays as it was, and all else is of now."""
    await watched.observer.look()
    assert watched.found("nats_up") == 1
    watched.feed.delete()
    watched.cache_entries = 9
    await watched.observer.look()
    assert watched.found("nats_up") == 0
    assert watched.found("lag_messages") == 2
    assert watched.found("embedding_cache_entries") == 9
    assert watched.found("index_disk_free_bytes") > 0


async def test_without_a_store_the_rest_is_told_nevertheless(watched: Watched) -> None:
    """The store is down: the look goes on, and comes to its end."""
    await watched.observer.look()
    seen = watched.found("observed_timestamp_seconds")
    watched.observer._counted_at = float("-inf")
    watched.disk.chaos.strike_next()
    await watched.observer.look()
    assert watched.disk.chaos.struck
    assert watched.found("index_events") == 3
    assert watched.found("observed_timestamp_seconds") >= seen > 0


async def test_who_watches_never_ends_what_is_watched(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a look raises, another one follows."""
    looks = asyncio.Semaphore(0)

    async def look() -> None:
        looks.release()
        raise ZeroDivisionError

    async def at_once(_seconds: float) -> None:
        await real(0)

    real: Any = asyncio.sleep
    monkeypatch.setattr(watched.observer, "look", look)
    monkeypatch.setattr("precedent_indexer.app.metrics_collector.asyncio", SimpleNamespace(sleep=at_once))
    running = asyncio.create_task(watched.observer.run())
    for _ in range(3):
        await looks.acquire()
    assert not running.done()
    running.cancel()
    await asyncio.wait({running})


async def test_the_disk_is_that_of_the_index(watched: Watched) -> None:
    """Free space is that of the file system on which the next generation will be written."""
    await watched.observer.look()
    assert watched.found("index_disk_size_bytes") == shutil.disk_usage(watched.index.path).total


async def test_a_replica_that_follows_tells_the_log_and_itself(watched: Watched) -> None:
    """No alert takes it for one that hangs or is cut off; how far the index is, it tells as the writer does."""
    liveness = Liveness()
    follower_metrics = FollowerMetrics(
        metrics=watched.metrics,
        feed=watched.feed,
        source=watched.log,
        dead_letters=watched.dead_letters,
        progress=watched.progress,
        liveness=liveness,
    )
    await follower_metrics.look()
    assert watched.found("observed_timestamp_seconds") > 0
    assert watched.found("nats_up") == watched.found("state", precedent_state="serving") == 1
    assert (watched.found("indexed_sequence"), watched.found("lag_messages")) == (3, 2)
    liveness.fault = "the index or the bus cannot be read"
    await follower_metrics.look()
    assert watched.found("state", precedent_state="unavailable") == 1
