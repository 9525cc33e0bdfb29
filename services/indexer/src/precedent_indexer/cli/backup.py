"""Commands that copy the index and put a copy back: backup and restore."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from precedent_indexer import settings
from precedent_indexer.cli.output import console, pairs, show
from precedent_indexer.observability import logs

if TYPE_CHECKING:
    from precedent_indexer.maintenance.backup.manifest import Manifest

AsJson = Annotated[bool, typer.Option("--json", help="JSON in the place of a table, one object.")]


class BackupReport(BaseModel):
    """What was backed up, or restored."""

    directory: Path
    indexed_seq: int
    events: int
    bytes: int
    model: str
    made_at: str


def backup(
    directory: Annotated[Path, typer.Argument(help="Where to; not there yet, or empty.", metavar="DIR")],
    *,
    as_json: AsJson = False,
) -> None:
    """Copy the index, whole and checked, to DIR, while the indexer runs or while it does not.

    Run it where the indexer runs, as the same user. While the graph is copied nothing is indexed; questions go on.
    """
    # With the store: most commands need neither it nor what it needs.
    from precedent_indexer.app import backup as backups  # noqa: PLC0415

    chosen = settings.load()
    logs.configure("error", chosen.precedent_log_format)
    with _progress() as report:
        manifest = backups.take_backup(chosen, directory, report)
    _show(_reported(directory, manifest), as_json=as_json)


def restore(
    directory: Annotated[Path, typer.Argument(help="The backup.", metavar="DIR")],
    *,
    as_json: AsJson = False,
) -> None:
    """Put the backup in DIR in the place of the index; `serve` then reads what the log has beyond it.

    The indexer must not run. The index that was there is removed once the backup is in its place.
    """
    from precedent_indexer.app import backup as backups  # noqa: PLC0415 -- as in `backup`

    chosen = settings.load()
    logs.configure("error", chosen.precedent_log_format)
    with _progress() as report:
        restored = backups.restore_backup(chosen, directory, report)
    _show(_reported(chosen.precedent_chroma_path, restored.manifest), as_json=as_json)
    made_by = restored.manifest.index.fingerprint
    if backups.installed_model(chosen) not in {None, made_by}:
        console(stderr=True).print(
            f"it was made by model {made_by}, and another is installed: `serve` answers by the old one while it "
            "rebuilds the index",
            soft_wrap=True,
        )


def _reported(directory: Path, manifest: "Manifest") -> BackupReport:
    return BackupReport(
        directory=directory,
        indexed_seq=manifest.index.watermark,
        events=sum(manifest.collections.values()),
        bytes=manifest.bytes,
        model=manifest.index.fingerprint,
        made_at=manifest.made_at.isoformat(timespec="seconds"),
    )


def _show(report: BackupReport, *, as_json: bool) -> None:
    rows = ((name.replace("_", " "), value) for name, value in report.model_dump().items())
    show(report, pairs(rows), as_json=as_json)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on the terminal, if there is one."""
    to = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task("beginning", total=None)

        def report(phase: str, done: int, total: int) -> None:
            bar.update(task, description=phase, completed=done, total=total)

        yield report
