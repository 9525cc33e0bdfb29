"""The command tail: the newest events, and each new one as soon as the index has it."""

import asyncio
from typing import Annotated, Final

import typer

from precedent_backend_adapter.cli.arguments.options import DEFAULT_COLLECTION, Collection
from precedent_backend_adapter.cli.command import Session, command
from precedent_backend_adapter.cli.display import tables, wording
from precedent_backend_adapter.cli.display.text import cut
from precedent_backend_adapter.cli.follow import Follower
from precedent_backend_adapter.errors import IndexerFailed, NotIndexedYet, Overloaded, Unavailable
from precedent_schemas import Entry, Filter

_PASSING: Final = (IndexerFailed, NotIndexedYet, Overloaded, Unavailable)
_FIRST: Final = 10


commands = typer.Typer()


@command(commands, "tail", filtered=True)
async def tail(
    session: Session,
    *,
    collection: Collection = DEFAULT_COLLECTION,
    last: Annotated[int, typer.Option("--last", "-n", min=0, max=1000, help="Begin with so many.")] = _FIRST,
    every: Annotated[float, typer.Option("--every", min=0.05, metavar="SECONDS", help="How often to look.")] = 1.0,
    count: Annotated[int | None, typer.Option("--count", min=1, help="End after so many; else at Ctrl-C.")] = None,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Follow new events. Shown as the index has them: checked, with their ids, and without what it refuses.

    With --json one on each line. Ctrl-C ends it.
    """
    follower = Follower(session.client, collection, filter)
    shown = 0
    news = await follower.last(last)
    while True:
        for entry in news:
            _show(session, entry)
            shown += 1
            if shown == count:
                return
        await asyncio.sleep(every)
        news = await _looked(session, follower)


async def _looked(session: Session, follower: Follower) -> list[Entry]:
    try:
        return await follower.look()
    except _PASSING as error:
        session.out.note(f"precedent: {error}; looking again")
        return []


def _show(session: Session, entry: Entry) -> None:
    event = entry.event
    parts = [
        wording.when(event.occurred_at),
        event.kind,
        wording.severity(event.severity),
        event.user,
        event.ip,
        event.id,
    ]
    session.out.show(entry, tables.cell("  ".join([*(one for one in parts if one is not None), cut(event.text)])))
