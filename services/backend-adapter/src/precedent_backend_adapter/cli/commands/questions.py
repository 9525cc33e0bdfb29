"""Commands that ask what there is: get, list, kinds, stats."""

from typing import Annotated, Final

import typer

from precedent_backend_adapter.cli.arguments.options import DEFAULT_COLLECTION, Collection, Csv, Fields
from precedent_backend_adapter.cli.command import REFUSED, Session, command
from precedent_backend_adapter.cli.display import columns, tables, wording
from precedent_backend_adapter.cli.display.entries import show_entries
from precedent_backend_adapter.cli.kinds import KindCount, count_kinds
from precedent_schemas import Entry, Filter, Order
from precedent_schemas.fields import format_time
from precedent_schemas.limits import MAX_K

DEFAULT_ROWS: Final = 20

commands = typer.Typer()


@command(commands, "get")
async def get(
    session: Session,
    *,
    ids: Annotated[list[str], typer.Argument(help="Events, at most 1000.", metavar="ID...")],
    collection: Collection = DEFAULT_COLLECTION,
) -> int:
    """Show events by id. Whole, in the order asked."""
    reply = await session.client.get(ids, collection=collection)
    shown = [part for entry in reply.events for part in (tables.whole(entry), "")]
    session.out.show(reply, *shown[:-1])
    if reply.missing:
        session.out.note(f"not there: {', '.join(reply.missing)}")
    return REFUSED if reply.missing else 0


@command(commands, "list", filtered=True)
async def list_(
    session: Session,
    *,
    collection: Collection = DEFAULT_COLLECTION,
    order: Annotated[Order, typer.Option("--order", help="By sequence in the log.")] = Order.NEWEST,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="Most events; 0 is all.")] = DEFAULT_ROWS,
    csv: Csv = False,
    fields: Fields = None,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """List events. All that pass a filter, by sequence; with --json one on each line."""
    names = columns.chosen(fields, hits=False) if csv or fields is not None else None
    found: list[Entry] = []
    size = min(limit, MAX_K) or MAX_K
    pages = session.client.list(collection=collection, filter=filter, order=order, page_size=size)
    seen = 0
    async for entry in pages:
        seen += 1
        if session.out.json and not csv:
            session.out.show(entry if names is None else columns.row(entry, names))
        else:
            found.append(entry)
        if seen == limit:
            break
    if found or csv:
        show_entries(session.out, found, names, csv=csv)
    elif not session.out.json:
        session.out.show(None, tables.cell("nothing there"))


@command(commands, "kinds", filtered=True)
async def kinds(
    session: Session,
    *,
    collection: Collection = DEFAULT_COLLECTION,
    csv: Csv = False,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Count events by kind. Reads all that pass a filter, page by page."""
    found = await count_kinds(session.client, collection, filter)
    if csv:
        session.out.write(columns.as_csv(_KIND_HEADS, (list(_told(one).values()) for one in found.kinds)))
        return
    whole = {
        "kinds": [_told(one) for one in found.kinds],
        "indexed_seq": found.indexed_seq,
        "stream_seq": found.stream_seq,
    }
    rows = [(one.kind, one.count, wording.when(one.first_seen), wording.when(one.last_seen)) for one in found.kinds]
    total = f"{wording.count(sum(one.count for one in found.kinds), 'event')} of {wording.count(len(rows), 'kind')}"
    shown = [tables.table(("kind", "events", "first seen", "last seen"), rows, numbers=("events",))] if rows else []
    session.out.show(whole, *shown, tables.cell(total), tables.covered(found.indexed_seq, found.stream_seq))
    if found.too_large:
        session.out.note(f"not counted: {wording.count(found.too_large, 'event')} too large for a reply of this server")


@command(commands, "stats")
async def stats(
    session: Session,
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", metavar="NAME", help="Of this one alone.")
    ] = None,
) -> None:
    """Show size, backlog and model of the index."""
    if collection is None:
        whole = await session.client.stats()
        session.out.show(whole, *tables.stats(whole))
        return
    reply = await session.client.collection_stats(collection)
    about = [("collection", collection), ("events", reply.count), ("model", reply.model.name)]
    session.out.show(reply, tables.pairs(about), tables.covered(reply.indexed_seq, reply.stream_seq))


_KIND_HEADS: Final = ("kind", "count", "first_seen", "last_seen")


def _told(one: KindCount) -> dict[str, object]:
    values = (one.kind, one.count, format_time(one.first_seen), format_time(one.last_seen))
    return dict(zip(_KIND_HEADS, values, strict=True))
