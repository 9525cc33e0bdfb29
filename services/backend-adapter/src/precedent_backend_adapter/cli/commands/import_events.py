"""The command import: a file of events into the log, with a progress bar."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from precedent_backend_adapter.cli.arguments.options import DEFAULT_COLLECTION, Collection
from precedent_backend_adapter.cli.command import REFUSED, USAGE, Session, Stop, command, exit_code
from precedent_backend_adapter.cli.display import tables
from precedent_backend_adapter.cli.display.text import cut
from precedent_backend_adapter.cli.display.wording import count
from precedent_backend_adapter.cli.importing import lines
from precedent_backend_adapter.cli.importing.journal import Journal, JournalError
from precedent_backend_adapter.cli.importing.run import Import, ImportReport, Interrupted
from precedent_backend_adapter.cli.importing.source import (
    STDIN,
    NoJsonLines,
    check_defaults,
    checked,
    is_stream,
    opened,
)

STATE_SUFFIX: Final = ".precedent-import"
_SHOWN_LINES: Final = 20
_FROM_THE_BEGINNING: Final = "run it again from the beginning: what is there is replaced by the same"


commands = typer.Typer()


@command(commands, "import")
async def import_(
    session: Session,
    *,
    file: Annotated[
        Path, typer.Argument(help="One JSON object on each line; - is stdin.", metavar="FILE.jsonl", allow_dash=True)
    ],
    kind: Annotated[str | None, typer.Option("--kind", help="Of events that name none.")] = None,
    collection: Collection = DEFAULT_COLLECTION,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="PATH", help=f"Journal; else FILE.jsonl{STATE_SUFFIX}; of stdin none."),
    ] = None,
) -> int:
    """Publish a file of events. Each line once, however often it is run; goes on where it was interrupted.

    A line is an event as `publish` has it, with `kind` and `collection` beside `text` and the rest; or a line of
    `list --json`. What is refused is counted and named by line; correct it there and run it again.
    """
    check_defaults(collection, kind)
    name = "stdin" if file == STDIN else str(file)
    beside = None if is_stream(file) else file.with_name(file.name + STATE_SUFFIX)
    journal = Journal(state or beside, session.where)
    progress = _progress(session)
    try:
        with opened(file) as source, journal, progress:
            total = None if source.size is None else max(source.size, 1)
            task = progress.add_task("publishing", total=total)
            run = Import(session.client, journal, lambda end: progress.update(task, completed=end))
            try:
                await run.run(lines.read(checked(source.file, name), collection, kind))
            except Interrupted as error:
                done = f"{run.report.published} published, then no more"
                again = "the same command goes on from there" if state or beside else _FROM_THE_BEGINNING
                raise Stop(f"{name}: {done}: {error}; {again}", exit_code(error.why)) from error
    except (JournalError, NoJsonLines) as error:
        raise Stop(str(error), USAGE) from error
    except OSError as error:
        raise Stop(f"{name} cannot be read: {error.strerror}; name a file of JSON lines", USAGE) from error
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
    more = {"renamed": report.renamed, "outcomes_left_out": report.undecided}
    session.out.show({**whole, **more}, *shown, tables.cell(counted))
    if report.renamed:
        session.out.note(f"{count(report.renamed, 'event')} got a new id: ids that begin with seq- belong to their log")
    if report.undecided:
        session.out.note(f"{count(report.undecided, 'outcome')} left out: publish them with precedent outcome")


def _rows(report: ImportReport) -> list[tuple[object, str]]:
    rows: list[tuple[object, str]] = [(one.line, cut(one.reason)) for one in report.refused[:_SHOWN_LINES]]
    more = len(report.refused) - len(rows)
    return [*rows, ("...", f"{more} more; --json names all")] if more else rows
