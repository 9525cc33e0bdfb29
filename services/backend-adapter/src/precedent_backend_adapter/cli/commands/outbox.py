"""Commands about the file in which a client keeps what it published: outbox status, flush, drop."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from precedent_backend_adapter._outbox.file import SetAside, look
from precedent_backend_adapter._outbox.store import Store, StoreError
from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter.cli.command import FAILED, REFUSED, Session, Stop, command, local_command
from precedent_backend_adapter.cli.commands.publishing import confirmed
from precedent_backend_adapter.cli.display import tables, wording
from precedent_backend_adapter.cli.display.output import Output
from precedent_backend_adapter.config import OutboxConfig
from precedent_schemas.fields import format_time

File = Annotated[Path, typer.Argument(help="File of the outbox.", metavar="FILE", exists=True, dir_okay=False)]


commands = typer.Typer(
    name="outbox",
    help="What a client published that the log does not have yet.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@local_command(commands, "status")
def status(out: Output, *, file: File) -> int:
    """How much waits, and what was refused. Also while a client uses it."""
    found, aside = look(file)
    told = {**_counts(found), "refused": [_as_told(one) for one in aside]}
    out.show(told, tables.pairs(_shown(found)), *([_refused(aside)] if aside else []))
    return REFUSED if aside else 0


@command(commands, "flush", outbox="file")
async def flush(
    session: Session,
    *,
    file: File,
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Longest wait.")] = 60.0,  # noqa: ASYNC109 -- an option
) -> int:
    """Deliver what waits, what was refused included. Where no client does."""
    try:
        async with asyncio.timeout(timeout):
            await session.client.flush()
    except TimeoutError as error:
        left = await session.client.outbox_status()
        count, why = (left.waiting, left.fault) if left is not None else (0, None)
        message = f"{count} still wait in {file} after {timeout:g} s: {why or 'there was no time for more'}"
        raise Stop(f"{message}; they stay there, run it again", FAILED) from error
    found = await session.client.outbox_status()
    if found is None:
        return 0
    session.out.show(_counts(found), tables.pairs(_shown(found)))
    return REFUSED if found.set_aside else 0


@local_command(commands, "drop")
def drop(
    out: Output, *, file: File, yes: Annotated[bool, typer.Option("--yes", "-y", help="Without asking.")] = False
) -> None:
    """Forget what was refused, for good. What waits for its turn stays; no client may be using it."""
    if not yes and not confirmed(f"Forget everything in {file} that the log refused?"):
        raise Stop("nothing was dropped: it was not confirmed; --yes does not ask", FAILED)
    store = Store(OutboxConfig(path=file))
    try:
        dropped = store.drop_set_aside()
    except StoreError as error:
        raise Stop(str(error), FAILED) from error
    finally:
        store.close()
    out.show({"dropped": dropped}, tables.cell(f"dropped {dropped}"))


def _counts(found: OutboxStatus) -> dict[str, object]:
    # The bounds are those of the client that uses it, which are not known here.
    return {
        "path": found.path,
        "waiting": found.waiting,
        "set_aside": found.set_aside,
        "size": found.size,
        "oldest": None if found.oldest is None else format_time(found.oldest),
    }


def _as_told(one: SetAside) -> dict[str, object]:
    return {**dataclasses.asdict(one), "queued_at": format_time(one.queued_at)}


def _shown(found: OutboxStatus) -> list[tuple[str, object]]:
    return [
        ("outbox", found.path),
        ("waiting", found.waiting),
        ("since", wording.when(found.oldest)),
        ("set aside", found.set_aside),
        ("bytes", found.size),
    ]


def _refused(aside: list[SetAside]) -> Table:
    rows = ((one.id, one.collection, wording.when(one.queued_at), _why(one)) for one in aside)
    return tables.table(("id", "collection", "since", "refused because"), rows)


def _why(one: SetAside) -> str:
    return f"{one.refusal}; a later revision was delivered: it is not sent again" if one.superseded else one.refusal
