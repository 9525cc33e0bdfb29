"""The metrics of this process: every name and every label stands here once.

The code that does the work moves counters and histograms. `app/metrics_collector` sets the gauges every 5 s: a scrape
runs in a thread of its own, reads memory only, and asks neither the bus nor the store.
No label holds what a publisher or a caller chooses: there are as many series on the first day as on the last.
"""

import functools
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, ProcessCollector

from precedent_indexer.errors import (
    BusUnavailable,
    ConsumerGone,
    DeadLettersRefused,
    JetStreamRefused,
    ModelUnavailable,
    NotPermitted,
    Stalled,
    StoreUnavailable,
)
from precedent_schemas.catalogue import ENDPOINTS
from precedent_schemas.failures import ERROR_CODES, DeadReason
from precedent_schemas.jobs import REBUILD, REPAIR, VERIFY

_PREFIX: Final = "precedent_"
_SUFFIXES: Final = {"counter": "_total", "info": "_info"}
"""What the client library adds to the names of these types."""
_WORK_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DELAY_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 86400.0)
_FAULTS: Final = (
    BusUnavailable,
    JetStreamRefused,
    NotPermitted,
    DeadLettersRefused,
    StoreUnavailable,
    ModelUnavailable,
    ConsumerGone,
    Stalled,
)

KINDS: Final = ("event", "outcome", "deletion")
RESULTS: Final = ("applied", "superseded")
STAGES: Final = ("prepare", "commit", "settle")
QUEUES: Final = ("delivered", "prepared", "unsettled", "questions", "waiting_for_index")
JOB_KINDS: Final = (REBUILD, VERIFY, REPAIR)
STATES: Final = ("serving", "catching_up", "stalled", "misconfigured", "unavailable")


class Metrics:
    """The metrics of one process; every series of a label whose values are known is there from the start, at zero."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._count_work(registry)
        self._count_questions(registry)
        self._look_at_the_log(registry)
        self._look_at_the_index(registry)
        self._look_at_the_process(registry)

    def _count_work(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "precedent_messages_total",
            "Messages of the log that were applied to the index. `superseded`: the index had them, or a newer "
            "revision, already",
            ["kind", "result"],
            registry=registry,
        )
        for kind in KINDS:
            for result in RESULTS if kind != "deletion" else RESULTS[:1]:
                self.messages.labels(kind, result)
        self.dead_letters = Counter(
            "precedent_dead_letters_total", "Messages of the log that were refused", ["reason"], registry=registry
        )
        for reason in DeadReason:
            self.dead_letters.labels(str(reason))
        self.events_removed = Counter(
            "precedent_events_removed_total",
            "Events that left the index. `expired`: the log gave them up; `left_the_log`: they were removed "
            "from within it, or their outcomes",
            ["why"],
            registry=registry,
        )
        for why in ("deleted", "expired", "left_the_log"):
            self.events_removed.labels(why)
        self.faults = Counter(
            "precedent_faults_total",
            "Runs of indexing that a fault ended: it is waited out, and nothing is lost. By the class of the error, "
            "as the log line has it",
            ["error"],
            registry=registry,
        )
        for fault in _FAULTS:
            self.faults.labels(fault.__name__)
        self.stage_seconds = Histogram(
            "precedent_stage_seconds",
            "Seconds that a batch takes in one stage of indexing. `prepare`: decoding and embedding; `commit`: "
            "storing; `settle`: telling the server",
            ["stage"],
            buckets=_WORK_S,
            registry=registry,
        )
        for stage in STAGES:
            self.stage_seconds.labels(stage)
        self.indexing_delay_seconds = Histogram(
            "precedent_indexing_delay_seconds",
            "Seconds from a message's storage in the log until it is in the index, or refused",
            buckets=_DELAY_S,
            registry=registry,
        )
        self.embedding_seconds = Histogram(
            "precedent_embedding_seconds",
            "Seconds of one call of the model, with the wait for its thread",
            ["use"],
            buckets=_WORK_S,
            registry=registry,
        )
        for use in ("events", "questions"):
            self.embedding_seconds.labels(use)
        self.cache_hits = Counter(
            "precedent_embedding_cache_hits_total", "Texts whose vector was in memory", registry=registry
        )
        self.cache_misses = Counter(
            "precedent_embedding_cache_misses_total", "Texts whose vector was not in memory", registry=registry
        )
        self.jobs = Counter("precedent_jobs_total", "Jobs that ended", ["kind", "outcome"], registry=registry)
        for kind in JOB_KINDS:
            for outcome in ("done", "failed"):
                self.jobs.labels(kind, outcome)

    def _count_questions(self, registry: CollectorRegistry) -> None:
        self.questions = Counter(
            "precedent_questions_total",
            "Questions answered. `code`: 200, or that of the error",
            ["verb", "code"],
            registry=registry,
        )
        self.question_seconds = Histogram(
            "precedent_question_seconds",
            "Seconds from a question's arrival to its answer, with the wait for the sequence that it asks for",
            ["verb"],
            buckets=_WORK_S,
            registry=registry,
        )
        for endpoint in ENDPOINTS:
            for code in (200, *ERROR_CODES.values()):
                self.questions.labels(endpoint.name, str(code))
            self.question_seconds.labels(endpoint.name)

    def _look_at_the_log(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, documentation: str) -> Gauge:
            return Gauge(f"{_PREFIX}{name}", documentation, registry=registry)

        self.nats_up = gauge("nats_up", "1 where JetStream answered the last look, 0 where it did not")
        self.indexed_sequence = gauge("indexed_sequence", "The index covers the log up to this sequence")
        self.log_last_sequence = gauge("log_last_sequence", "Last sequence of the log")
        self.log_messages = gauge("log_messages", "Messages that the log holds")
        self.log_bytes = gauge("log_bytes", "Bytes that the log holds")
        self.lag_messages = gauge("lag_messages", "Sequences that the index is behind the log")
        self.lag_seconds = gauge("lag_seconds", "Age of the oldest message of the log that is not indexed; 0: none")
        self.consumer_pending = gauge("consumer_pending_messages", "Messages that the consumer was not given yet")
        self.consumer_unacknowledged = gauge(
            "consumer_unacknowledged_messages", "Messages that the consumer was given and has not settled"
        )
        self.consumer_redelivered = gauge(
            "consumer_redelivered_messages", "Of these, those that it was given more than once"
        )
        self.dead_letter_messages = gauge("dead_letter_messages", "Messages in the dead-letter stream")

    def _look_at_the_index(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, documentation: str, *labels: str) -> Gauge:
            return Gauge(f"{_PREFIX}{name}", documentation, labels, registry=registry)

        self.events = gauge("index_events", "Events in the index; counted once a minute")
        self.collections = gauge("index_collections", "Collections in the index; counted once a minute")
        self.disk_free_bytes = gauge("index_disk_free_bytes", "Bytes free where the index is")
        self.disk_size_bytes = gauge("index_disk_size_bytes", "Size of the file system where the index is")
        self.disk_full = gauge("index_disk_full", "1 where the store found its disk full and wrote nothing since")
        self.residue_age_seconds = gauge(
            "index_residue_age_seconds", "Age of the oldest deletion whose text the index's files may still hold"
        )
        self.outdated = gauge("index_outdated", "1 where another generation is to take its place")
        self.job_running = gauge("job_running", "1 while a job of this kind is under way", "kind")
        self.job_progress = gauge("job_progress_ratio", "How much of its phase that job has done, 0 to 1", "kind")
        for kind in JOB_KINDS:
            self.job_running.labels(kind)
            self.job_progress.labels(kind)
        self.cache_entries = gauge("embedding_cache_entries", "Texts whose vector is in memory")

    def _look_at_the_process(self, registry: CollectorRegistry) -> None:
        self.state = Enum("precedent_state", "How indexing is, as `stats` says it", states=STATES, registry=registry)
        self.last_progress_timestamp = Gauge(
            "precedent_last_progress_timestamp_seconds",
            "When the index advanced last, Unix time; 0: not in this process",
            registry=registry,
        )
        self.observed_timestamp = Gauge(
            "precedent_observed_timestamp_seconds",
            "When the process looked at itself last, Unix time: all gauges are of then",
            registry=registry,
        )
        self.queue_length = Gauge(
            "precedent_queue_length",
            "What waits in the process. `delivered` and `unsettled` are messages, `prepared` batches, `questions` are "
            "worked on or wait for their turn, `waiting_for_index` wait for a sequence",
            ["queue"],
            registry=registry,
        )
        for queue in QUEUES:
            self.queue_length.labels(queue)
        self.build = _info("build", "This indexer", ("version",), registry)
        self.model = _info(
            "model", "The model that makes vectors here", ("name", "fingerprint", "dimensions", "runtime"), registry
        )
        self.index = _info(
            "index", "The index in use, and the model of its vectors", ("uuid", "generation", "fingerprint"), registry
        )
        ProcessCollector(registry=registry)

    def note_delays(self, stored_at: Iterable[datetime]) -> None:
        """Messages that were stored then are handled now."""
        now = datetime.now(UTC)
        for when in stored_at:
            self.indexing_delay_seconds.observe(max(0.0, (now - when).total_seconds()))

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Inside, a batch is in this stage."""
        return self.stage_seconds.labels(name).time()


def _info(name: str, documentation: str, labels: Iterable[str], registry: CollectorRegistry) -> Info:
    info = Info(f"{_PREFIX}{name}", documentation, registry=registry)
    info.info(dict.fromkeys(labels, ""))
    return info


@functools.cache
def discard_metrics() -> Metrics:
    """Metrics that are never scraped: a rebuild counts its work here, apart from that of the index in use."""
    return Metrics()


def describe() -> list[dict[str, str]]:
    """One row for each metric of ours: `name` as it is scraped, `type`, `labels`, `description`."""
    rows = []
    for family in Metrics().registry.collect():
        if family.name.startswith(_PREFIX):
            labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
            name = family.name + _SUFFIXES.get(family.type, "")
            rows.append(
                {"name": name, "type": family.type, "labels": ", ".join(labels), "description": family.documentation}
            )
    return rows
