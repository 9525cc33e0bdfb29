"""The command import: a file of events into the log, with a progress bar."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from precedent_backend_adapter.cli.command import REFUSED, USAGE, Session, Stop, command, exit_code
from precedent_backend_adapter.cli.display import tables
from precedent_backend_adapter.cli.display.text import cut
from precedent_backend_adapter.cli.importing import lines
from precedent_backend_adapter.cli.importing.journal import Journal, JournalError
from precedent_backend_adapter.cli.importing.run import Import, ImportReport, Interrupted
from precedent_backend_adapter.cli.options import DEFAULT_COLLECTION, Collection

STATE_SUFFIX: Final = ".precedent-import"
_SHOWN_LINES: Final = 20


commands = typer.Typer()


@command(commands, "import")
async def import_(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(help="One JSON object on each line.", metavar="FILE.jsonl")],
    kind: Annotated[str | None, typer.Option("--kind", help="Of events that name none.")] = None,
    collection: Collection = DEFAULT_COLLECTION,
    state: Annotated[
        Path | None, typer.Option("--state", metavar="PATH", help=f"Journal; else FILE.jsonl{STATE_SUFFIX}.")
    ] = None,
) -> int:
    """Publish a file of events. Each line once, however often it is run; goes on where it was interrupted.

    A line is an event as `publish` has it, with `kind` and `collection` beside `text` and the rest. What is
    refused is counted and named by line; correct it there and run it again.
    """
    journal = Journal(state or file.with_name(file.name + STATE_SUFFIX), session.where)
    progress = _progress(session)
    try:
        with file.open("rb") as opened, journal, progress:
            task = progress.add_task("publishing", total=max(file.stat().st_size, 1))
            run = Import(session.client, journal, lambda end: progress.update(task, completed=end))
            try:
                await run.run(lines.read(opened, collection, kind))
            except Interrupted as error:
                done = f"{run.report.published} published, then no more"
                message = f"{file}: {done}: {error}; the same command goes on from there"
                raise Stop(message, exit_code(error.why)) from error
    except JournalError as error:
        raise Stop(str(error), USAGE) from error
    except OSError as error:
        raise Stop(f"{file} cannot be read: {error.strerror}; name a file of JSON lines", USAGE) from error
    _report(session, run.report)
    return REFUSED if run.report.refused else 0


def _progress(session: Session) -> Progress:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    quiet = session.out.json or not session.out.notes.is_terminal
    return Progress(*columns, console=session.out.notes, transient=True, disable=quiet)


def _report(session: Session, report: ImportReport) -> None:
    refused = [{"line": one.line, "reason": one.reason} for one in report.refused]
    counted = f"{report.published} published, {report.already} already there, {len(refused)} refused"
    shown = [tables.table(("line", "refused because"), _rows(report), numbers=("line",))] if refused else []
    whole = {"published": report.published, "already": report.already, "refused": refused}
    session.out.show(whole, *shown, tables.cell(counted))


def _rows(report: ImportReport) -> list[tuple[object, str]]:
    rows: list[tuple[object, str]] = [(one.line, cut(one.reason)) for one in report.refused[:_SHOWN_LINES]]
    more = len(report.refused) - len(rows)
    return [*rows, ("...", f"{more} more; --json names all")] if more else rows
