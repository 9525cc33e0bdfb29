"""Commands for long work on the index: rebuild and verify, by the indexer that runs or, where none does, here."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from precedent_indexer import settings
from precedent_indexer.cli.client import Client, NoAnswer
from precedent_indexer.cli.output import console, pairs, show, table
from precedent_indexer.errors import CommandFailed
from precedent_indexer.observability import logs
from precedent_indexer.settings import Settings
from precedent_schemas import catalogue
from precedent_schemas.answers import StatsReply
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.jobs import EndedJob, Job, JobReply, JobReport
from precedent_schemas.questions import RebuildRequest, VerifyRequest

if TYPE_CHECKING:
    from precedent_indexer.app.active_index import ActiveIndex

AsJson = Annotated[bool, typer.Option("--json", help="JSON in the place of a table, one object.")]
States = tuple[Job | None, EndedJob | None]
"""The job under way, and the one that ended last."""
_LOOK_EVERY_S: Final = 0.5
_PATIENCE_S: Final = 60.0
"""Seconds in which an indexer that answered before may be away."""


def rebuild(*, as_json: AsJson = False) -> None:
    """Rebuild the index from the log while the old one answers, then switch to it.

    The indexer that runs does it and this command follows; where none runs, it is done here.
    """
    ended = _run(catalogue.REBUILD, RebuildRequest(), _rebuild_here)
    _show(ended, as_json=as_json)
    raise typer.Exit(1 if ended.outcome != "done" else 0)


def verify(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs, from the log.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the log with the index, both ways; exit 1 where anything differs and is not mended.

    The indexer that runs does it and this command follows; where none runs, it is done here.
    """
    request = VerifyRequest(repair=repair)
    ended = _run(catalogue.VERIFY, request, lambda serving: _verify_here(serving, request))
    _show(ended, as_json=as_json)
    if ended.report is not None and ended.report.rebuild_advised:
        console(stderr=True).print("more than a tenth differs: `precedent-indexer rebuild` is the quicker way")
    raise typer.Exit(1 if ended.outcome != "done" or _left(ended.report) else 0)


def _run(
    endpoint: Endpoint, request: RebuildRequest | VerifyRequest, here: Callable[["ActiveIndex"], Awaitable[JobReply]]
) -> EndedJob:
    chosen = settings.load()
    logs.configure("error", chosen.precedent_log_format)
    return asyncio.run(_begin_and_follow(chosen, endpoint, request, here))


async def _begin_and_follow(
    chosen: Settings,
    endpoint: Endpoint,
    request: RebuildRequest | VerifyRequest,
    here: Callable[["ActiveIndex"], Awaitable[JobReply]],
) -> EndedJob:
    async with Client.connected(chosen) as client:
        try:
            begun: JobReply = await client.ask(endpoint, **request.model_dump())
        except NoAnswer:
            pass
        else:
            if begun.joined:
                console(stderr=True).print(f"joined the {begun.job.kind} that is under way already")
            return await _follow(begun.job, lambda: _states_of(client))
    console(stderr=True).print("no indexer answers: it is done here")
    # With the store and the model's runtime: only here are they needed.
    from precedent_indexer.app import embedded  # noqa: PLC0415

    async with embedded.open_offline(chosen) as serving:
        begun = await here(serving)

        async def states() -> States:
            return serving.jobs.current, serving.jobs.last

        return await _follow(begun.job, states)


async def _rebuild_here(serving: "ActiveIndex") -> JobReply:
    return await serving.begin.rebuild("", RebuildRequest())


async def _verify_here(serving: "ActiveIndex", request: VerifyRequest) -> JobReply:
    unfit = "it has only just begun" if serving.index.is_new else serving.index.outdated
    if unfit is not None:
        raise CommandFailed(
            f"the index in {serving.index.path.parent} cannot be compared with the log: {unfit}; "
            "run `precedent-indexer rebuild`, or start `precedent-indexer serve`: both fill it from the log"
        )
    return await serving.begin.verify("", request)


async def _states_of(client: Client) -> States:
    """Of an indexer that may be away for a while."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            stats: StatsReply = await client.ask(catalogue.STATS)
        except CommandFailed:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            return stats.job, stats.last_job


async def _follow(job: Job, states: Callable[[], Awaitable[States]]) -> EndedJob:
    """Show how far it is until it has ended."""
    to = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rest]}"))
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task(job.kind, rest="")
        while True:
            current, last = await states()
            if last is not None and last.id == job.id:
                return last
            if current is None or current.id != job.id:
                raise CommandFailed(
                    f"the indexer was started again, and the {job.kind} ended with it: run the command again; "
                    "a rebuild goes on where it was"
                )
            bar.update(
                task,
                description=f"{current.kind}: {current.phase}",
                completed=current.done_seq,
                total=current.target_seq,
                rest=_rest(current),
            )
            await asyncio.sleep(_LOOK_EVERY_S)


def _rest(job: Job) -> str:
    if job.per_second is None or job.eta_s is None:
        return ""
    return f"{job.per_second:,.0f}/s, {job.eta_s:,.0f} s left"


def _left(report: JobReport | None) -> int:
    """What differs still."""
    if report is None:
        return 0
    return sum(count or 0 for count in (report.missing, report.orphaned, report.differing)) - (report.repaired or 0)


def _show(ended: EndedJob, *, as_json: bool) -> None:
    found = ended.report.model_dump(exclude={"examples"}, exclude_none=True) if ended.report else {}
    rows = [
        (ended.kind, ended.outcome),
        ("error", ended.error),
        ("seconds", f"{ended.took_s:.1f}"),
        *((name.replace("_", " "), value) for name, value in found.items()),
    ]
    parts = [pairs(rows)]
    if ended.report is not None and ended.report.examples:
        examples = ((one.collection, one.id, one.what) for one in ended.report.examples)
        parts.append(table(("collection", "id", "what"), examples))
    show(ended, *parts, as_json=as_json)
