"""The command `precedent-indexer`: arguments, exit codes, and what people see."""

import asyncio
import errno
import json
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import structlog
import typer
from rich.console import Console
from rich.table import Table

from precedent_indexer import __version__, settings
from precedent_indexer.cli import backup, dead_letters, health, jobs
from precedent_indexer.cli.output import escape_unencodable
from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR, ModelError
from precedent_indexer.errors import FAILED, IndexerError
from precedent_indexer.observability import logs

_HELP: Final = """The memory of a security backend: indexes security events from NATS and answers questions about them.

Exit codes: 0 done or healthy; 1 it failed or is unhealthy, with the reason on standard error; 2 an argument or a
setting is wrong; 3 something is not there or was refused (a key, a certificate, an operation): trying again does not
help.
"""

cli = typer.Typer(
    name="precedent-indexer",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)

_FLUSH_S: Final = 1.0
"""Seconds for the last spans of a trace to leave, at the end of a process that has ten."""


_ANOTHER_PLACE: Final = "let this user write there, or name another place (for temporary files by TMPDIR)"
_OF_FILES: Final[dict[int | None, str]] = {
    errno.EACCES: _ANOTHER_PLACE,
    errno.EPERM: _ANOTHER_PLACE,
    errno.EROFS: _ANOTHER_PLACE,
    errno.ENOENT: "name a file or directory that is there (for temporary files by TMPDIR)",
    errno.ENOSPC: "free space on that disk, or name another place (for temporary files by TMPDIR)",
}
"""What to do if the system refuses a file, by the number of its error."""


class Form(StrEnum):
    """How settings are shown."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


def _version(wanted: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@cli.callback()
def _common(
    *,
    _version_wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Settings come from the environment: see `precedent-indexer settings`."""


def _settings() -> settings.Settings:
    """The settings, with the log set up by them; variables that are no setting are named in it."""
    chosen = settings.load()
    logs.configure(chosen.precedent_log_level, chosen.precedent_log_format)
    for name, close in settings.unknown_variables().items():
        remedy = f"did you mean {' or '.join(close)}?" if close else "`precedent-indexer settings` lists all settings"
        structlog.get_logger(__name__).warning("unknown_setting", name=name, remedy=f"it is ignored: {remedy}")
    return chosen


@cli.command()
def serve() -> None:
    """Index what the log has and answer questions, until SIGTERM or Ctrl-C."""
    # With the store and the model's runtime: `health`, which a container asks for all the time, needs neither.
    from precedent_indexer.app import embedded  # noqa: PLC0415
    from precedent_indexer.observability import tracing  # noqa: PLC0415
    from precedent_indexer.replicas import replica  # noqa: PLC0415

    chosen = _settings()
    # A fifth of the usual: the thread that answers questions gets its turn sooner among those that index.
    sys.setswitchinterval(0.001)
    code = asyncio.run(embedded.serve(chosen) if chosen.precedent_chroma_url is None else replica.serve(chosen))
    tracing.flush(_FLUSH_S)
    # Threads that could not be stopped softly must not keep the process alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@cli.command()
def init() -> None:
    """Create the streams and the consumer where they are missing, check them where they are not."""
    from precedent_indexer.app import startup  # noqa: PLC0415 -- as in `serve`

    chosen = _settings()
    asyncio.run(startup.init(chosen))
    typer.echo("streams and consumer are as they must be")


@cli.command("health")
def show_health(
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 3.0,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Only: does the indexer of this host answer, or is NATS itself away?")
    ] = False,
) -> None:
    """Exit 0 when it serves and has caught up within PRECEDENT_HEALTH_MAX_LAG, 3 when we may not ask, else 1."""
    chosen = settings.load()
    logs.configure("error", chosen.precedent_log_format)
    report = asyncio.run(health.check_alive(chosen, timeout) if live else health.check(chosen, timeout))
    typer.echo(report.line)
    raise typer.Exit(0 if report.healthy else report.code)


@cli.command("settings")
def show_settings(
    form: Annotated[Form, typer.Option("--format", help="How to show them.")] = Form.TABLE,
) -> None:
    """List every setting with its value, default and meaning; secrets are masked."""
    if form is Form.MARKDOWN:
        typer.echo("| setting | default | meaning |\n| --- | --- | --- |")
        for row in settings.describe():
            default = f"`{row['default']}`" if row["default"] else ""
            typer.echo(f"| `{row['name']}` | {default} | {row['description']} |")
        return
    rows = settings.describe(settings.load())
    if form is Form.JSON:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table("setting", "value", "default", "meaning")
    for row in rows:
        table.add_row(row["name"], row["value"], row["default"], row["description"])
    Console().print(table)


cli.command("rebuild")(jobs.rebuild)
cli.command("verify")(jobs.verify)
cli.command("backup")(backup.backup)
cli.command("restore")(backup.restore)
cli.add_typer(dead_letters.group, name="dead-letters")


@cli.command("import-chroma")
def import_chroma(
    path: Annotated[Path, typer.Argument(help="Data directory of the old service; only a copy of it is opened.")],
    *,
    collection: Annotated[str, typer.Option(help="Collection of the old service.")],
    to: Annotated[str, typer.Option(help="Collection here.")],
    kind: Annotated[
        str | None, typer.Option(help="Kind of every event; unset: its own `kind` or `category`, else `imported`.")
    ] = None,
    timezone: Annotated[str, typer.Option(help="Of times without an offset, as in Europe/Athens.")] = "UTC",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Publish nothing; show counts and three events.")] = False,
    include_deleted: Annotated[
        bool, typer.Option("--include-deleted", help="Bring back what was deleted since by its id.")
    ] = False,
    include_cleared: Annotated[
        bool, typer.Option("--include-cleared", help="Import although the collection was cleared.")
    ] = False,
) -> None:
    """Publish the items of an old data directory into the log; whenever it is run again, only what is not there."""
    from precedent_indexer.cli.import_chroma import command as old_data  # noqa: PLC0415 -- as in `serve`

    chosen = _settings()
    request = old_data.Request(
        directory=path,
        collection=collection,
        to=to,
        kind=kind,
        timezone=timezone,
        rules=old_data.Rules(dry_run=dry_run, include_deleted=include_deleted, include_cleared=include_cleared),
    )
    asyncio.run(old_data.import_chroma(chosen, request, sys.stdout.write))


@cli.command("build-model")
def build_model(
    target: Annotated[Path | None, typer.Option(help="Where to; unset: where `serve` looks for it.")] = None,
) -> None:
    """Build the model's graph from the installed weights, once, at set-up."""
    # Only this command needs the graph builder and its libraries.
    from precedent_indexer.adapters.model import graph as model_graph  # noqa: PLC0415

    directory = target or settings.load().precedent_model_path or DEFAULT_MODEL_DIR
    files = model_graph.build_model(directory)
    typer.echo(f"model {files.fingerprint} built in {files.directory}")


@cli.command(hidden=True)
def probe(directory: Path) -> None:
    """Exit 0 when the generation in this directory is sound: for the indexer itself, which may not survive the look."""
    from precedent_indexer.adapters.chroma import probe_process  # noqa: PLC0415 -- no other command needs it

    probe_process.run_probe(directory)


def main() -> None:
    """Run the command line; failures that people can mend are said in one message, without a traceback."""
    escape_unencodable(sys.stdout, sys.stderr)
    try:
        cli()
    except (IndexerError, ModelError) as error:
        sys.stderr.write(f"precedent-indexer: {error}\n")
        sys.exit(error.exit_code if isinstance(error, IndexerError) else FAILED)
    except Exception as error:  # noqa: BLE001 -- a fault of ours, whose text may be somebody's data
        if isinstance(error, OSError) and error.errno in _OF_FILES:
            where = f": {error.filename}" if error.filename else ""
            sys.stderr.write(f"precedent-indexer: {error.strerror}{where}: {_OF_FILES[error.errno]}\n")
            sys.exit(FAILED)
        frames = "".join(traceback.format_tb(error.__traceback__))
        sys.stderr.write(
            f"precedent-indexer: {type(error).__name__}, a fault in the program: please report it\n{frames}"
        )
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
