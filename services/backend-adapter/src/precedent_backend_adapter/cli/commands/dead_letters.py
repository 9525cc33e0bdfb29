"""Commands about what was refused: dead-letters list, show, replay, drop."""

import base64
import itertools
from typing import Annotated

import typer
from rich.table import Table

from precedent_backend_adapter.cli.command import REFUSED, Session, command
from precedent_backend_adapter.cli.commands.questions import DEFAULT_ROWS
from precedent_backend_adapter.cli.display import tables
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.limits import MAX_K

Seqs = Annotated[list[int], typer.Argument(help="Sequences that they had in the log.", metavar="SEQ...")]


commands = typer.Typer(
    name="dead-letters", help="What the indexer refused, and why.", no_args_is_help=True, rich_markup_mode=None
)


@command(commands, "list")
async def list_(
    session: Session,
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most of them; 0 is all.")] = DEFAULT_ROWS,
) -> None:
    """Everything that was refused, newest first; with --json one on each line."""
    found: list[DeadLetter] = []
    seen = itertools.count(1)
    async for letter in session.client.dead_letters(page_size=min(limit, MAX_K) or MAX_K):
        if session.out.json:
            session.out.show(letter)
        else:
            found.append(letter)
        if next(seen) == limit:
            break
    if not session.out.json:
        session.out.show(None, tables.dead_letters(found) if found else tables.cell("no dead letters"))


@command(commands, "show")
async def show(session: Session, *, seqs: Seqs) -> int:
    """Dead letters, whole, with the bytes as they were."""
    reply = await session.client.get_dead_letters(seqs)
    shown = [part for letter in reply.dead_letters for part in (_whole(letter), "")]
    session.out.show(reply, *shown[:-1])
    return _told(session, reply.missing)


@command(commands, "replay")
async def replay(
    session: Session,
    *,
    seqs: Seqs,
    force: Annotated[bool, typer.Option("--force", help="Also where the event has a later revision.")] = False,
) -> int:
    """Publish dead letters anew, as once whatever stood against them is gone."""
    reply = await session.client.replay_dead_letters(seqs, force=force)
    done = [(one.seq, f"published anew at {one.new_seq}") for one in reply.replayed]
    left = [(one.seq, one.message) for one in reply.refused]
    session.out.show(reply, tables.table(("seq", "what became of it"), [*done, *left], numbers=("seq",)))
    return _told(session, reply.missing) or (REFUSED if left else 0)


@command(commands, "drop")
async def drop(session: Session, *, seqs: Seqs) -> int:
    """Forget dead letters for good."""
    reply = await session.client.drop_dead_letters(seqs)
    session.out.show(reply, tables.cell(f"dropped {len(reply.dropped)}"))
    return _told(session, reply.missing)


def _whole(letter: DeadLetter) -> Table:
    data = base64.b64decode(letter.data)
    fields = letter.model_dump(mode="json", exclude={"data", "headers"})
    headers = [(f"header {name}", ", ".join(values)) for name, values in letter.headers.items()]
    # What is no UTF-8 is the reason why some of them are here.
    return tables.pairs([*fields.items(), *headers, ("payload", data.decode(errors="backslashreplace"))])


def _told(session: Session, missing: list[int]) -> int:
    if missing:
        session.out.note(f"not there: {', '.join(map(str, missing))}")
    return REFUSED if missing else 0
