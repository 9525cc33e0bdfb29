"""Commands that ask for similar events: search, recurrence."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import RenderableType

from precedent_backend_adapter.cli.arguments.options import DEFAULT_COLLECTION, Collection, Csv, Fields
from precedent_backend_adapter.cli.command import Session, command
from precedent_backend_adapter.cli.commands.publishing import LONGEST_WAIT_S
from precedent_backend_adapter.cli.display import columns, tables, wording
from precedent_backend_adapter.cli.display.blocks import words
from precedent_backend_adapter.cli.display.entries import show_entries
from precedent_schemas import Bucket, Filter, RecurrenceReply, SearchReply
from precedent_schemas.fields import format_time
from precedent_schemas.limits import DEFAULT_K, DEFAULT_RECURRENCE_SIMILARITY

Text = Annotated[str | None, typer.Argument(help="What to look for, in words; or --id.", metavar="TEXT")]
Like = Annotated[str | None, typer.Option("--id", metavar="ID", help="Like this event.")]


class Width(StrEnum):
    """Width of a stretch of time; a week begins on Monday and is added up from days."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


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
    csv: Csv = False,
    fields: Fields = None,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Find similar events. The nearest in meaning to a text or to an event, best first."""
    names = columns.chosen(fields, hits=True)
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
    if csv or fields is not None:
        show_entries(session.out, reply.hits, names, csv=csv)
    elif session.out.json:
        session.out.show(reply)
    elif reply.hits:
        show_entries(session.out, reply.hits, words=words(text))
        session.out.show(reply, tables.summary(reply.summary), _covered(reply))
    else:
        await _show_nearest(session, reply, text, id, collection, min_similarity, filter)


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
    bucket: Annotated[Width, typer.Option("--bucket", help="Width of a stretch of time, in UTC.")] = Width.DAY,
    csv: Csv = False,
    filter: Filter | None = None,  # noqa: A002 -- the field's name
) -> None:
    """Count similar events. Among the 1000 nearest to a text or an event, by stretch of time."""
    asked = Bucket.DAY if bucket is Width.WEEK else Bucket(bucket)
    reply = await session.client.recurrence(
        text, id=id, collection=collection, min_similarity=min_similarity, bucket=asked, filter=filter
    )
    buckets = _weeks(reply) if bucket is Width.WEEK else [dict(one) for one in reply.buckets]
    if csv:
        heads = [name for name in ("start", "count", "users", "ips") if bucket is not Width.WEEK or name in _OF_WEEKS]
        rows = ([format_time(one["start"]), *(one[name] for name in heads[1:])] for one in buckets)
        session.out.write(columns.as_csv(heads, rows))
    elif session.out.json:
        plain = reply.model_dump(mode="json")
        told = [{**one, "start": format_time(one["start"])} for one in buckets]
        session.out.show({**plain, "buckets": told} if bucket is Width.WEEK else reply)
    elif buckets:
        session.out.show(reply, tables.recurrence(buckets), _total(reply), _covered(reply))
    else:
        await _show_nearest(session, reply, text, id, collection, min_similarity, filter)


async def _show_nearest(
    session: Session,
    reply: SearchReply | RecurrenceReply,
    text: str | None,
    id: str | None,  # noqa: A002 -- the field's name
    collection: str,
    least: float | None,
    filter: Filter | None,  # noqa: A002 -- the field's name
) -> None:
    """Say that nothing is similar, at which threshold, and what comes nearest below it."""
    nearest = None
    if least is not None and not session.out.json:
        nearest = await session.client.search(text, id=id, collection=collection, k=1, filter=filter)
    if nearest is None or not nearest.hits:
        passing = "no event" if filter is None else "no event that passes the filter"
        session.out.show(reply, tables.cell(f"nothing similar: {collection} has {passing}"), _covered(reply))
        return
    hit = nearest.hits[0]
    found = f"nothing similar at {least:g} or above; the nearest event has a similarity of {hit.similarity:.2f}:"
    session.out.show(reply, tables.cell(found))
    show_entries(session.out, nearest.hits, words=words(text))
    session.out.show(reply, _covered(reply))


_OF_WEEKS = ("start", "count")


def _weeks(reply: RecurrenceReply) -> list[dict[str, Any]]:
    """Counts by week. Distinct users and addresses of days do not add up, so a week has none."""
    counts: dict[datetime, int] = {}
    for one in reply.buckets:
        monday = one.start - timedelta(days=one.start.weekday())
        counts[monday] = counts.get(monday, 0) + one.count
    return [{"start": start, "count": count} for start, count in counts.items()]


def _total(reply: RecurrenceReply) -> RenderableType:
    least = "at least " if reply.capped else ""
    whose = f"{wording.count(reply.users, 'user')} and {wording.count(reply.ips, 'address', 'addresses')}"
    seen = ""
    if reply.first_seen is not None:
        seen = f", from {wording.when(reply.first_seen)} to {wording.when(reply.last_seen)}"
    return tables.cell(f"{least}{wording.count(reply.total, 'event')} by {whose}{seen}")


def _covered(reply: SearchReply | RecurrenceReply) -> RenderableType:
    return tables.covered(reply.indexed_seq, reply.stream_seq)
