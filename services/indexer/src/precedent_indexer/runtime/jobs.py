"""Long jobs on the index: one at a time, begun or joined, shown in the service's stats until the next."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import structlog

from precedent_indexer.errors import (
    BusUnavailable,
    JobFailed,
    ModelUnavailable,
    QuestionFailed,
    StartRefused,
    StoreUnavailable,
)
from precedent_indexer.observability.metrics import Metrics
from precedent_schemas.failures import ErrorReason
from precedent_schemas.jobs import EndedJob, Job, JobReply, JobReport

log = structlog.get_logger(__name__)

ReportProgress = Callable[[str, int, int], None]
"""Takes the phase, the sequence that the job has reached, and the sequence that it has to reach."""
Run = Callable[[ReportProgress], Awaitable[JobReport]]
"""The work of a job; any exception is its failure."""

_REPORT_EVERY_S: Final = 5.0
_LEAST_S: Final = 0.5
"""Seconds of a phase before its rate is reported."""
_SAFE: Final[dict[type[Exception], str]] = {
    BusUnavailable: "NATS or JetStream does not answer",
    StoreUnavailable: "the store fails",
    ModelUnavailable: "the model fails",
}
"""What callers are told of a fault: the text of the exception may hold the content of an event."""


class _Running:
    """A running job and its progress."""

    def __init__(self, kind: str) -> None:
        self.id = secrets.token_hex(6)
        self.kind = kind
        self.started_at = datetime.now(UTC)
        self._begun = time.monotonic()
        self._phase = "starting"
        self._phase_begun = self._begun
        self._first_seq = 0
        self._done_seq = 0
        self._target_seq = 0
        self._logged = self._begun

    @property
    def took_s(self) -> float:
        return round(time.monotonic() - self._begun, 3)

    def report(self, phase: str, done_seq: int, target_seq: int) -> None:
        now = time.monotonic()
        if phase != self._phase:
            self._phase, self._phase_begun, self._first_seq = phase, now, done_seq
        self._done_seq, self._target_seq = done_seq, target_seq
        if now - self._logged >= _REPORT_EVERY_S:
            self._logged = now
            shown = self.state()
            log.info("job", kind=self.kind, phase=phase, done_seq=done_seq, target_seq=target_seq, eta_s=shown.eta_s)

    def state(self) -> Job:
        took = time.monotonic() - self._phase_begun
        done = self._done_seq - self._first_seq
        rate = done / took if done > 0 and took >= _LEAST_S else None
        return Job(
            id=self.id,
            kind=self.kind,
            phase=self._phase,
            done_seq=self._done_seq,
            target_seq=self._target_seq,
            per_second=round(rate, 1) if rate else None,
            eta_s=round(max(0, self._target_seq - self._done_seq) / rate, 1) if rate else None,
            started_at=self.started_at,
        )


class Jobs:
    """Runs at most one job."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._running: _Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._last: EndedJob | None = None
        self._stopped = False

    @property
    def current(self) -> Job | None:
        """The running job; None if there is none."""
        return self._running.state() if self._running else None

    @property
    def last(self) -> EndedJob | None:
        """The job that ended last; None if there was none."""
        return self._last

    def start(self, kind: str, run: Run) -> JobReply:
        """Begin the job, or join the running job if it is of the same kind; returns at once.

        Raises:
            QuestionFailed: refused, since a job of another kind runs; unavailable, since the process is stopping.
        """
        if self._stopped:
            raise QuestionFailed(ErrorReason.UNAVAILABLE, "the indexer is stopping: ask again when it is back")
        if self._running is not None:
            if self._running.kind != kind:
                raise QuestionFailed(
                    ErrorReason.REFUSED,
                    f"a {self._running.kind} is under way, so no {kind} can begin: ask again when it has ended",
                )
            return JobReply(job=self._running.state(), joined=True)
        self._running = _Running(kind)
        self._task = asyncio.create_task(self._run(self._running, run))
        return JobReply(job=self._running.state(), joined=False)

    async def ended(self) -> EndedJob | None:
        """Wait for the running job, if there is one; the job that ended last."""
        if self._task is not None:
            await asyncio.wait({self._task})
        return self._last

    async def stop(self) -> None:
        """Cancel the running job, wait until it has ended, and refuse new ones."""
        self._stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, running: _Running, run: Run) -> None:
        log.info("job_begun", kind=running.kind, id=running.id)
        report: JobReport | None = None
        error: str | None = None
        try:
            report = await run(running.report)
        except Exception as failure:  # noqa: BLE001 -- any exception ends the job as failed
            error = _safe(failure)
            log.error("job_failed", kind=running.kind, id=running.id, error=type(failure).__name__, detail=error)
        finally:
            self._running = None
        self._last = EndedJob(
            id=running.id,
            kind=running.kind,
            outcome="done" if error is None else "failed",
            error=error,
            report=report,
            ended_at=datetime.now(UTC),
            took_s=running.took_s,
        )
        self._metrics.jobs.labels(running.kind, self._last.outcome).inc()
        if report is not None:
            found = report.model_dump(exclude={"examples"}, exclude_none=True)
            log.info("job_done", kind=running.kind, id=running.id, took_s=self._last.took_s, **found)


def _safe(error: Exception) -> str:
    if isinstance(error, JobFailed | StartRefused):
        return str(error)
    for kind, text in _SAFE.items():
        if isinstance(error, kind):
            return text
    return f"it failed unexpectedly ({type(error).__name__}): the log of the indexer says where"
