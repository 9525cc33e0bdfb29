"""Commands that ask a running indexer: what they make of its answers, and of its absence."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from precedent_indexer.cli import jobs, output
from precedent_indexer.errors import CommandFailed
from precedent_schemas.jobs import EndedJob, Job, JobReport

MOMENT = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def running(job_id: str = "a", done_seq: int = 1) -> Job:
    """A job under way."""
    return Job(id=job_id, kind="rebuild", phase="filling", done_seq=done_seq, target_seq=9, started_at=MOMENT)


def ended(job_id: str = "a", report: JobReport | None = None) -> EndedJob:
    """A job that has ended."""
    return EndedJob(id=job_id, kind="rebuild", outcome="done", report=report, ended_at=MOMENT, took_s=1.0)


async def follow(states: Sequence[jobs.States]) -> EndedJob:
    """Follow job `a` through what the indexer says, one after the other."""
    said = iter(states)

    async def look() -> jobs.States:
        return next(said)

    return await jobs._follow(running(), look)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_LOOK_EVERY_S", 0.0)


async def test_a_job_is_followed_to_its_end() -> None:
    """Whatever ended before and whatever it shows meanwhile, the end that is told is its own."""
    assert await follow([(running(), None), (running(done_seq=5), ended("before")), (None, ended())]) == ended()


@pytest.mark.parametrize("after", [(None, None), (running("other"), None), (None, ended("other"))])
async def test_a_job_that_is_gone_is_told(after: jobs.States) -> None:
    """The indexer was started again: the command ends and says what to do, it does not wait for ever."""
    with pytest.raises(CommandFailed, match="started again"):
        await follow([(running(), None), after])


def test_what_is_left_is_what_was_found_and_not_mended() -> None:
    """The exit code of a verification rests on it."""
    assert jobs._left(JobReport(missing=1, orphaned=2, differing=3)) == 6
    assert jobs._left(JobReport(missing=1, orphaned=2, differing=3, repaired=6)) == 0
    assert jobs._left(None) == 0


def test_nothing_that_others_wrote_reaches_a_terminal_as_an_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters, markup and marks of direction are shown as what they are, in tables and in JSON."""
    evil = "\x1b[31m[red]\u202e\n\x7f"
    shown = output.safe(evil)
    assert shown == r"\x1b[31m[red]\u202e\n\x7f"
    output.show(ended(evil), output.table(("id",), [(evil,)]), as_json=False)
    assert shown in capsys.readouterr().out
    output.show(ended(evil), as_json=True)
    line = capsys.readouterr().out
    assert line.removesuffix("\n").isprintable()
