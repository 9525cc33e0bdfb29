"""Long work on the index, one at a time."""

import asyncio

import pytest

from precedent_indexer.api.admin import JobVerbs
from precedent_indexer.errors import BusUnavailable, JobFailed, QuestionFailed, StoreUnavailable
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime import jobs as module
from precedent_indexer.runtime.jobs import Jobs, ReportProgress
from precedent_schemas.failures import ErrorReason
from precedent_schemas.jobs import JobReport
from precedent_schemas.questions import RebuildRequest, VerifyRequest


class Work:
    """Work that goes on until it is let go, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.let_go = asyncio.Event()
        self.times = 0
        self.left = False
        self._error = error

    async def __call__(self, report: ReportProgress) -> JobReport:
        """Do it."""
        self.times += 1
        report("filling", 3, 10)
        try:
            await self.let_go.wait()
        finally:
            self.left = True
        if self._error is not None:
            raise self._error
        return JobReport(events=7)


async def test_a_job_is_shown_while_it_runs_and_after_it() -> None:
    """The state says kind, phase and progress; once ended, the report stands under the same id."""
    jobs, work = Jobs(discard_metrics()), Work()
    begun = jobs.start("rebuild", work)
    assert not begun.joined
    await asyncio.sleep(0)
    current = jobs.current
    assert current is not None
    assert (current.id, current.kind, current.phase) == (begun.job.id, "rebuild", "filling")
    assert (current.done_seq, current.target_seq) == (3, 10)
    work.let_go.set()
    last = await jobs.ended()
    assert last is not None
    assert (last.id, last.outcome, last.report) == (begun.job.id, "done", JobReport(events=7))
    assert jobs.current is None


async def test_the_same_kind_joins() -> None:
    """Asked for again while it runs, a job is not begun twice, and both callers follow the same."""
    jobs, work = Jobs(discard_metrics()), Work()
    first = jobs.start("verify", work)
    await asyncio.sleep(0)
    second = jobs.start("verify", work)
    assert second.joined
    assert second.job.id == first.job.id
    work.let_go.set()
    await jobs.ended()
    assert work.times == 1


async def test_another_kind_is_refused() -> None:
    """While one job runs, another kind is refused by name, and may begin when the first has ended."""
    jobs, work = Jobs(discard_metrics()), Work()
    jobs.start("rebuild", work)
    with pytest.raises(QuestionFailed, match="a rebuild is under way, so no verify can begin") as caught:
        jobs.start("verify", work)
    assert caught.value.reason is ErrorReason.REFUSED
    work.let_go.set()
    await jobs.ended()
    assert not jobs.start("verify", work).joined
    await jobs.ended()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (JobFailed("no room on the disk"), "no room on the disk"),
        (StoreUnavailable("Chroma cannot write: secret text"), "the store fails"),
        (BusUnavailable("secret subject"), "NATS or JetStream does not answer"),
        (ValueError("secret text"), "it failed unexpectedly (ValueError): the log of the indexer says where"),
    ],
)
async def test_a_failure_ends_the_job_and_tells_nothing_private(error: Exception, told: str) -> None:
    """A job that raises has failed; callers read a text of ours, and the next job can begin."""
    jobs, work = Jobs(discard_metrics()), Work(error)
    jobs.start("rebuild", work)
    work.let_go.set()
    last = await jobs.ended()
    assert last is not None
    assert (last.outcome, last.error, last.report) == ("failed", told, None)
    assert not jobs.start("rebuild", Work()).joined
    await jobs.stop()


async def test_stopping_lets_the_job_leave() -> None:
    """At the end of the process the job is cancelled, has cleaned up when `stop` returns, and no other begins."""
    jobs, work = Jobs(discard_metrics()), Work()
    jobs.start("rebuild", work)
    await asyncio.sleep(0)
    await jobs.stop()
    assert work.left
    assert jobs.current is None
    with pytest.raises(QuestionFailed, match="stopping"):
        jobs.start("rebuild", work)


async def test_rate_and_rest_are_of_the_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences a second, and the seconds that are left, count from the beginning of the phase."""
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    running = module._Running("rebuild")
    running.report("filling", 1_000, 5_000)
    assert running.state().per_second is None
    now = 110.0
    running.report("filling", 2_000, 5_000)
    assert running.state().per_second == 100.0
    assert running.state().eta_s == 30.0
    running.report("comparing", 0, 50)
    assert running.state().eta_s is None


async def test_verbs_begin_their_jobs() -> None:
    """`verify` with repair is a job of its own kind: nobody who asked for mending joins a mere look."""
    jobs = Jobs(discard_metrics())
    rebuild, verify, repair = Work(), Work(), Work()
    verbs = JobVerbs(jobs, rebuild=rebuild, verify=verify, repair=repair)
    for ask, work, kind in (
        (verbs.rebuild("", RebuildRequest()), rebuild, "rebuild"),
        (verbs.verify("", VerifyRequest()), verify, "verify"),
        (verbs.verify("", VerifyRequest(repair=True)), repair, "repair"),
    ):
        assert (await ask).job.kind == kind
        work.let_go.set()
        await jobs.ended()
        assert work.times == 1
