"""Commands that ask: search, recurrence, get, list, stats."""

from typing import Annotated, Final

import typer
from rich.console import RenderableType

from precedent_backend_adapter.cli.command import REFUSED, Session, command
from precedent_backend_adapter.cli.commands.publishing import LONGEST_WAIT_S
from precedent_backend_adapter.cli.display import tables
from precedent_backend_adapter.cli.options import DEFAULT_COLLECTION, Collection
from precedent_schemas import Bucket, Entry, Filter, Order
from precedent_schemas.limits import DEFAULT_K, DEFAULT_RECURRENCE_SIMILARITY, MAX_K

DEFAULT_ROWS: Final = 20

Text = Annotated[str | None, typer.Argument(help="What to look for, in words; or --id.", metavar="TEXT")]
Like = Annotated[str | None, typer.Option("--id", metavar="ID", help="Like this event.")]


commands = typer.Typer()


@command(commands, "search", filtered=True)
async def search(
    session: Session,
    *,
    text: Text = None,
    id: Like = None,  # noqa: A002 -- the field's name
    collection: Collection = DEFAULT_COLLECTION,
    k: Annotated[int, typer.Option("-k", metavar="N", help="Most hits, up to 1000.")] = DEFAULT_K,
    min_similarity: Annotated[
        float | None, typer.Option("--min-similarity", metavar="-1..1", help="Least cosine similarity.")
    ] = None,
    min_seq: Annotated[
        int | None, typer.Option("--min-seq", metavar="SEQ", help="Wait until the index has reached it.")
    ] = None,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Find similar events. The nearest in meaning to a text or to an event, best first."""
    reply = await session.client.search(
        text,
        id=id,
        collection=collection,
        k=k,
        min_similarity=min_similarity,
        filter=filter,
        after=min_seq,
        wait=None if min_seq is None else LONGEST_WAIT_S,
    )
    below = tables.covered(reply.indexed_seq, reply.stream_seq)
    shown: list[RenderableType] = [_nothing("similar")]
    if reply.hits:
        shown = [tables.entries(reply.hits), tables.summary(reply.summary)]
    session.out.show(reply, *shown, below)


@command(commands, "recurrence", filtered=True)
async def recurrence(
    session: Session,
    *,
    text: Text = None,
    id: Like = None,  # noqa: A002 -- the field's name
    collection: Collection = DEFAULT_COLLECTION,
    min_similarity: Annotated[
        float, typer.Option("--min-similarity", metavar="-1..1", help="Least cosine similarity that counts.")
    ] = DEFAULT_RECURRENCE_SIMILARITY,
    bucket: Annotated[Bucket, typer.Option("--bucket", help="Width of a stretch of time, in UTC.")] = Bucket.DAY,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Count similar events. Among the 1000 nearest to a text or an event, by stretch of time."""
    reply = await session.client.recurrence(
        text, id=id, collection=collection, min_similarity=min_similarity, bucket=bucket, filter=filter
    )
    least = "at least " if reply.capped else ""
    seen = f", from {tables.when(reply.first_seen)} to {tables.when(reply.last_seen)}" if reply.first_seen else ""
    total = tables.cell(f"{least}{reply.total} events by {reply.users} users and {reply.ips} addresses{seen}")
    below = tables.covered(reply.indexed_seq, reply.stream_seq)
    shown: list[RenderableType] = [tables.recurrence(reply), total] if reply.buckets else [_nothing("similar")]
    session.out.show(reply, *shown, below)


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
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """List events. All that pass a filter, by sequence; with --json one on each line."""
    found: list[Entry] = []
    size = min(limit, MAX_K) or MAX_K
    pages = session.client.list(collection=collection, filter=filter, order=order, page_size=size)
    seen = 0
    async for entry in pages:
        seen += 1
        if session.out.json:
            session.out.show(entry)
        else:
            found.append(entry)
        if seen == limit:
            break
    if not session.out.json:
        session.out.show(None, tables.entries(found) if found else _nothing("there"))


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


def _nothing(what: str) -> RenderableType:
    return tables.cell(f"nothing {what}")
