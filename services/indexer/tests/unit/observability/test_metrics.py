"""What Prometheus is told: each number moves when the thing happens, and no label is anybody's choice."""

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fakes.embedder import FakeEmbedder
from fakes.index_service import FakeIndexService
from fakes.indexer import FakeIndexer
from fakes.log_model import POISON
from fakes.scraped import scraped
from fakes.waiting import until
from fakes.workers import InlineWorkers
from precedent_indexer.api.server import QueryServer
from precedent_indexer.domain.messages import Packet, Tally
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.errors import StartRefused
from precedent_indexer.ingest import supervisor
from precedent_indexer.maintenance.housekeeping import Housekeeping
from precedent_indexer.observability import metrics_server
from precedent_indexer.observability.metrics import Metrics, describe, discard_metrics
from precedent_indexer.runtime.jobs import Jobs, ReportProgress
from precedent_schemas import answers, catalogue
from precedent_schemas.events import Deletion
from precedent_schemas.jobs import VERIFY, JobReport


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of this test alone."""
    return Metrics()


@pytest.fixture
async def indexer(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes, running and counted."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF_S", 0)
    made = FakeIndexer({}, (), 4, metrics)
    yield made
    made._task.cancel()
    await asyncio.wait({made._task})


@pytest.fixture
async def service(tmp_path: Path) -> FakeIndexService:
    """An index with ten events in it."""
    made = FakeIndexService(tmp_path)
    for number in range(10):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    await made.start()
    await made.follow()
    return made


async def _follow(indexer: FakeIndexer) -> None:
    await until(lambda: indexer.progress.indexed_seq == indexer.log.last_seq and not indexer.feed.pending_acks)


async def test_messages_are_counted_by_what_became_of_them(indexer: FakeIndexer, metrics: Metrics) -> None:
    """Each message is applied, superseded or refused, under its own kind; a refusal under its reason."""
    indexer.log.publish_event({"id": "a", "text": "first"})
    indexer.log.publish_event({"id": "b", "text": "other"})
    await _follow(indexer)
    indexer.log.publish_event({"id": "a", "text": "second revision"})
    indexer.log.publish_outcome({"event_id": "b", "verdict": "benign"})
    indexer.log.publish_event({"text": POISON})
    indexer.log.publish("security.events.v1.incidents.auth", b"no JSON")
    await _follow(indexer)
    assert scraped(metrics, "messages_total", kind="event", result="applied") == 3
    assert scraped(metrics, "messages_total", kind="event", result="superseded") == 0
    assert scraped(metrics, "messages_total", kind="outcome", result="applied") == 1
    assert scraped(metrics, "dead_letters_total", reason="unprocessable") == 1
    assert scraped(metrics, "dead_letters_total", reason="malformed") == 1
    assert scraped(metrics, "indexing_delay_seconds_count") == 6
    indexer.log.delete(Deletion(ids=["a", "b"]))
    await _follow(indexer)
    assert scraped(metrics, "messages_total", kind="deletion", result="applied") == 1
    assert scraped(metrics, "events_removed_total", why="deleted") == 2


async def test_what_is_no_news_is_superseded(indexer: FakeIndexer, metrics: Metrics) -> None:
    """A revision that a newer one in the same batch replaces, and a message applied once more, change nothing."""
    messages = [indexer.log.messages[indexer.log.publish_event({"id": "a", "text": text})] for text in ("old", "new")]
    await indexer.applier.apply(messages)
    assert scraped(metrics, "messages_total", kind="event", result="applied") == 1
    assert scraped(metrics, "messages_total", kind="event", result="superseded") == 1
    await _follow(indexer)
    assert scraped(metrics, "messages_total", kind="event", result="applied") == 1
    assert scraped(metrics, "messages_total", kind="event", result="superseded") == 3


async def test_every_stage_of_a_batch_takes_its_time(indexer: FakeIndexer, metrics: Metrics) -> None:
    """A batch passes each stage once."""
    indexer.log.publish_event({"text": "x"})
    await _follow(indexer)
    for stage in ("prepare", "commit", "settle"):
        assert scraped(metrics, "stage_seconds_count", stage=stage) == 1, stage


async def test_faults_are_counted_by_their_class(indexer: FakeIndexer, metrics: Metrics) -> None:
    """A run that a failing bus ends is one fault, and one without its consumer another."""
    indexer.chaos.strike_next()
    await until(lambda: indexer.chaos.struck)
    indexer.feed.delete()
    await until(lambda: indexer.feed.recreated_after)
    indexer.log.publish_event({"text": "x"})
    await _follow(indexer)
    assert scraped(metrics, "faults_total", error="ConsumerGone") == 1
    faults = ("BusUnavailable", "StoreUnavailable")
    assert sum(scraped(metrics, "faults_total", error=one) for one in faults) >= 1


async def test_what_expires_is_counted(service: FakeIndexService, metrics: Metrics) -> None:
    """Events that the log gives up by its own limits leave the index under another name than deleted ones."""
    service.log.lose(1)
    housekeeping = Housekeeping(
        service=service,
        source=service.log,
        progress=service.progress,
        workers=service.workers,
        jobs=Jobs(discard_metrics()),
        rebuilder=service.rebuilder(),
        scrub_after_s=0,
        metrics=metrics,
    )
    await housekeeping.look()
    assert scraped(metrics, "events_removed_total", why="expired") == 1
    assert scraped(metrics, "events_removed_total", why="deleted") == 0


async def test_the_model_and_its_cache_are_counted(metrics: Metrics) -> None:
    """Each call of the model is timed by its use; a text that is known is a hit, any other a miss."""
    fake = FakeEmbedder()
    embedding = Embedding(events=fake, questions=fake, workers=InlineWorkers(), cache_entries=10, metrics=metrics)
    await embedding.of_events(["a", "b"])
    await embedding.of_question("a")
    await embedding.of_question("c")
    assert scraped(metrics, "embedding_seconds_count", use="events") == 1
    assert scraped(metrics, "embedding_seconds_count", use="questions") == 1
    assert scraped(metrics, "embedding_cache_hits_total") == 1
    assert scraped(metrics, "embedding_cache_misses_total") == 3


async def test_questions_are_counted_by_verb_and_code(metrics: Metrics) -> None:
    """An answer is a 200, an error has its own code, and both take their time; the collection is in no label."""

    async def get(collection: str, _request: object) -> BaseModel:
        if collection == "broken":
            raise ValueError(collection)
        model = answers.ModelRef(name="m", fingerprint="f")
        return answers.GetReply(indexed_seq=1, stream_seq=1, model=model, events=[], missing=[])

    async def reply(*_: object) -> None:
        pass

    query_server = QueryServer(
        {"get": get},
        reply=reply,
        wait_until_covered=reply,
        prefetch=reply,
        max_payload=lambda: 10_000,
        at_once=1,
        waiting=5,
        metrics=metrics,
    )
    for collection, data in (
        ("incidents", b'{"ids": ["a"]}'),
        ("incidents", b"no JSON"),
        ("broken", b'{"ids": ["a"]}'),
    ):
        packet = Packet(catalogue.GET.subject.replace("*", collection), "_INBOX.asker", data, {})
        await query_server.take(catalogue.GET, packet, Tally())
    assert query_server.working == 3
    await query_server.drain()
    for code in ("200", "400", "500"):
        assert scraped(metrics, "questions_total", verb="get", code=code) == 1, code
    assert scraped(metrics, "question_seconds_count", verb="get") == 3
    assert scraped(metrics, "questions_total", verb="search", code="200") == 0


async def test_jobs_are_counted_by_how_they_end(metrics: Metrics) -> None:
    """A job that ends well and one that fails are two numbers."""
    jobs = Jobs(metrics)

    async def well(_report: ReportProgress) -> JobReport:
        return JobReport()

    async def badly(_report: ReportProgress) -> JobReport:
        raise ValueError("fake")

    for run in (well, badly, badly):
        jobs.start(VERIFY, run)
        await jobs.ended()
    assert scraped(metrics, "jobs_total", kind="verify", outcome="done") == 1
    assert scraped(metrics, "jobs_total", kind="verify", outcome="failed") == 2


async def test_a_rebuild_is_not_counted_beside_the_index_in_use(service: FakeIndexService) -> None:
    """What fills another generation applies every message once more: that is nobody's throughput."""
    before = scraped(discard_metrics(), "messages_total", kind="event", result="applied")
    await service.rebuilder().run("test", lambda *_: None)
    assert scraped(discard_metrics(), "messages_total", kind="event", result="applied") == before + 10


def test_names_are_as_prometheus_wants_them() -> None:
    """Our prefix, base units, `_total` for counters alone; every metric has a sentence."""
    rows = describe()
    assert len(rows) > 30
    for row in rows:
        assert row["name"].startswith("precedent_")
        assert (row["type"] == "counter") == row["name"].endswith("_total")
        assert not row["name"].endswith(("_ms", "_milliseconds", "_mb", "_percent", "_count"))
        assert row["description"]


def test_the_page_is_served_and_ends(metrics: Metrics) -> None:
    """Whoever asks on that port gets every series; afterwards nobody listens there."""
    metrics.lag_messages.set(7)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    end = metrics_server.serve(metrics, "127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    end()
    assert "precedent_lag_messages 7.0\n" in page
    assert "_created" not in page
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=30).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "256.0.0.1"])
def test_where_nothing_can_listen_the_start_is_refused(metrics: Metrics, host: str) -> None:
    """A port that is taken, or an address that is none, is said with the settings that hold it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartRefused, match=rf"PRECEDENT_METRICS_HOST={host}, PRECEDENT_METRICS_PORT={port}: \w+"):
            metrics_server.serve(metrics, host, port)
