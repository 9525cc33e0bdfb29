"""The command `import-chroma`: connects source, target and run, and reports the progress."""

import asyncio
import contextlib
import signal
import sys
import time
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.cli.client import Client
from precedent_indexer.cli.import_chroma.convert import HEADER_ROOM, Choices
from precedent_indexer.cli.import_chroma.run import Import, Report, Rules
from precedent_indexer.cli.import_chroma.source import old_collection
from precedent_indexer.cli.import_chroma.target import CollectionLog
from precedent_indexer.errors import ImportFailed
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas.limits import MAX_LOG_MESSAGE_BYTES
from precedent_schemas.subjects import COLLECTION_PATTERN, event_subject, is_collection, is_kind

__all__ = ["Request", "Rules", "import_chroma"]

log = structlog.get_logger(__name__)

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_LINE_EVERY_S: Final = 5.0
_ASK_TIMEOUT_S: Final = 30.0
"""Seconds for an answer of the indexer about up to a thousand items."""
"""Seconds between two log lines of progress, if there is no terminal for a bar."""


@dataclass(frozen=True, slots=True)
class Request:
    """Arguments of the command."""

    directory: Path
    collection: str
    to: str
    kind: str | None
    timezone: str
    rules: Rules


async def import_chroma(settings: Settings, request: Request, say: Callable[[str], object]) -> Report:
    """Import, and print a summary with `say`.

    Raises:
        ImportFailed: the import failed or was interrupted.
        StartRefused: no connection to NATS.
    """
    zone = _checked(request)
    # A signal cancels the task, so that the copy of the directory is removed.
    task = asyncio.ensure_future(_import(settings, request, zone))
    loop = asyncio.get_running_loop()
    for number in _STOPPING:
        loop.add_signal_handler(number, task.cancel)
    try:
        report = await task
    except asyncio.CancelledError as error:
        raise ImportFailed("stopped: what was published stays; run it again, and it goes on from there") from error
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
    say(summary(request, report))
    return report


async def _import(settings: Settings, request: Request, zone: tzinfo) -> Report:
    with old_collection(request.directory, request.collection) as source:
        bus = await Bus.connect(settings, "precedent-indexer-import")
        try:
            room = min(MAX_LOG_MESSAGE_BYTES, bus.max_payload) - HEADER_ROOM
            choices = Choices(kind=request.kind, zone=zone, max_bytes=room)
            with _progress() as on_progress:
                client = Client(bus, without_secrets(settings.nats_url), _ASK_TIMEOUT_S)
                target = CollectionLog(bus, request.to, client)
                return await Import(source, target, choices, request.rules).run(on_progress)
        finally:
            await bus.close()


def _checked(request: Request) -> tzinfo:
    if not is_collection(request.to):
        raise ImportFailed(f"--to is {request.to!r}, a collection must match {COLLECTION_PATTERN}")
    if request.kind is not None and not is_kind(request.kind):
        raise ImportFailed(f"--kind is {request.kind!r}, a kind is one to four tokens of [a-z0-9_-] with dots between")
    if request.timezone.upper() == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(request.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ImportFailed(f"--timezone is {request.timezone!r}: give a name such as Europe/Athens, or UTC") from error


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[Report], None]]:
    """A progress bar on a terminal, otherwise a log line every few seconds."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("importing", total=None)
        yield lambda report: bar.update(task, total=report.total, completed=report.done)


class _Lines:
    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_EVERY_S

    def __call__(self, report: Report) -> None:
        if time.monotonic() >= self._next or report.done == report.total:
            self._next = time.monotonic() + _LINE_EVERY_S
            log.info("importing", done=report.done, total=report.total, published=report.published)


def summary(request: Request, report: Report) -> str:
    """Summary for people: counts, and what was changed or skipped, with the reason."""
    verb = "would be published" if request.rules.dry_run else "published"
    counted = f"{report.total} items, {report.published} {verb}, {report.skipped.total()} skipped"
    lines = ["dry run: nothing was published"] if request.rules.dry_run else []
    lines.append(f"{request.collection} -> {request.to}: {counted}")
    for title, counts in (("skipped", report.skipped), ("changed", report.changed)):
        if counts:
            lines.append(f"{title}:")
            lines += [f"  {count:>8}  {reason}" for reason, count in counts.most_common()]
    for sample in report.samples:
        lines += [f"{event_subject(request.to, sample.kind)}", f"  {_printable(sample.data.decode())}"]
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    # Old texts may hold control characters that spoof a terminal.
    return "".join(char if char.isprintable() else "?" for char in text)
