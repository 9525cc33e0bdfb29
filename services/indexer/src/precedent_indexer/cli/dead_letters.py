"""Commands about what was refused: dead-letters list, show, replay, drop."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

import typer
from rich.table import Table

from precedent_indexer import settings
from precedent_indexer.cli.client import Client
from precedent_indexer.cli.output import cell, console, pairs, show, table
from precedent_indexer.errors import REFUSED
from precedent_indexer.observability import logs
from precedent_schemas import catalogue
from precedent_schemas.dead_letters import DeadDropReply, DeadGetReply, DeadLetter, DeadListReply, DeadReplayReply
from precedent_schemas.limits import MAX_K

group = typer.Typer(help="What was refused, and why: list, show, replay, drop.", no_args_is_help=True)

Seqs = Annotated[list[int], typer.Argument(help="Sequences that they had in the log.", metavar="SEQ...")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON in the place of tables, one object.")]
_DEFAULT_ROWS: Final = 20


@group.command("list")
def list_(
    *,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most of them; 0 is all.")] = _DEFAULT_ROWS,
    as_json: AsJson = False,
) -> None:
    """Everything that was refused, newest first."""
    _run(lambda client: _list(client, limit, as_json=as_json))


@group.command("show")
def show_(seqs: Seqs, *, as_json: AsJson = False) -> None:
    """Dead letters, whole, with the bytes as they were."""
    _run(lambda client: _show(client, seqs, as_json=as_json))


@group.command("replay")
def replay(
    seqs: Seqs,
    *,
    force: Annotated[bool, typer.Option("--force", help="Also where the event has a later revision.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish dead letters again, after the reason for the refusal is gone."""
    _run(lambda client: _replay(client, seqs, force=force, as_json=as_json))


@group.command("drop")
def drop(seqs: Seqs, *, as_json: AsJson = False) -> None:
    """Forget dead letters for good, and erase their originals from the log."""
    _run(lambda client: _drop(client, seqs, as_json=as_json))


def _run(work: Callable[[Client], Awaitable[int]]) -> None:
    chosen = settings.load()
    logs.configure("error", chosen.precedent_log_format)

    async def with_client() -> int:
        async with Client.connected(chosen) as client:
            return await work(client)

    raise typer.Exit(asyncio.run(with_client()))


async def _list(client: Client, limit: int, *, as_json: bool) -> int:
    found: list[DeadLetter] = []
    too_large: list[int] = []
    cursor: str | None = None
    while True:
        left = limit - len(found) - len(too_large) if limit else MAX_K
        page: DeadListReply = await client.ask(catalogue.DEAD_LIST, limit=min(left, MAX_K), cursor=cursor)
        found += page.dead_letters
        too_large += page.too_large
        cursor = page.cursor
        if cursor is None or (limit and len(found) + len(too_large) >= limit):
            break
    rows = ((one.seq, one.dead_at, one.reason, one.subject, one.detail) for one in found)
    listed = table(("seq", "when", "reason", "subject", "detail"), rows, numbers=("seq",))
    whole = DeadListReply(dead_letters=found, too_large=too_large, cursor=cursor)
    show(whole, listed if found else cell("no dead letters"), as_json=as_json)
    if too_large:
        _note(f"too large for the server's max_payload, only to be replayed or dropped: {_joined(too_large)}")
    return 0


async def _show(client: Client, seqs: list[int], *, as_json: bool) -> int:
    reply: DeadGetReply = await client.ask(catalogue.DEAD_GET, seqs=seqs)
    parts = [part for letter in reply.dead_letters for part in (_whole(letter), "")]
    show(reply, *parts[:-1], as_json=as_json)
    return _tell_missing(reply.missing)


async def _replay(client: Client, seqs: list[int], *, force: bool, as_json: bool) -> int:
    reply: DeadReplayReply = await client.ask(catalogue.DEAD_REPLAY, seqs=seqs, force=force)
    rows = [(one.seq, f"published anew at {one.new_seq}") for one in reply.replayed]
    rows += [(one.seq, one.message) for one in reply.refused]
    show(reply, table(("seq", "what became of it"), rows, numbers=("seq",)), as_json=as_json)
    return _tell_missing(reply.missing) or (REFUSED if reply.refused else 0)


async def _drop(client: Client, seqs: list[int], *, as_json: bool) -> int:
    reply: DeadDropReply = await client.ask(catalogue.DEAD_DROP, seqs=seqs)
    show(reply, cell(f"dropped {len(reply.dropped)}"), as_json=as_json)
    return _tell_missing(reply.missing)


def _whole(letter: DeadLetter) -> Table:
    fields = letter.model_dump(mode="json", exclude={"data", "headers"})
    headers = [(f"header {name}", ", ".join(values)) for name, values in letter.headers.items()]
    # What is no UTF-8 is the reason why some of them are here.
    payload = base64.b64decode(letter.data).decode(errors="backslashreplace")
    return pairs([*fields.items(), *headers, ("payload", payload)])


def _tell_missing(missing: list[int]) -> int:
    if missing:
        _note(f"not there: {_joined(missing)}")
    return REFUSED if missing else 0


def _joined(seqs: list[int]) -> str:
    return ", ".join(map(str, seqs))


def _note(text: str) -> None:
    console(stderr=True).print(text, soft_wrap=True)
