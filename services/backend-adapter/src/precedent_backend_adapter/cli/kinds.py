"""What kinds of events a collection has."""

from dataclasses import dataclass
from datetime import datetime

from precedent_backend_adapter.interface import PrecedentClient
from precedent_schemas import Filter
from precedent_schemas.limits import MAX_K


@dataclass(slots=True)
class KindCount:
    """One kind: how many events it has, and when the first and the last of them occurred."""

    kind: str
    count: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class Kinds:
    """All kinds, the most frequent first.

    Attributes:
        kinds: those with events.
        too_large: events that no reply of the server can hold, whose kind is unknown here.
        indexed_seq: how much of the log the index had read when the count began.
        stream_seq: last sequence of the log then.
    """

    kinds: list[KindCount]
    too_large: int
    indexed_seq: int
    stream_seq: int


async def count_kinds(client: PrecedentClient, collection: str, filter: Filter | None) -> Kinds:  # noqa: A002 -- the field's name
    """Read all events that pass the filter, and count them by kind.

    Raises:
        NotFound: no such collection.
    """
    found: dict[str, KindCount] = {}
    page = first = await client.list_page(collection=collection, filter=filter, limit=MAX_K)
    too_large = 0
    while True:
        too_large += len(page.too_large)
        for event in (entry.event for entry in page.events):
            one = found.setdefault(event.kind, KindCount(event.kind, 0, event.occurred_at, event.occurred_at))
            one.count += 1
            one.first_seen = min(one.first_seen, event.occurred_at)
            one.last_seen = max(one.last_seen, event.occurred_at)
        if page.cursor is None:
            break
        page = await client.list_page(collection=collection, filter=filter, limit=MAX_K, cursor=page.cursor)
    ordered = sorted(found.values(), key=lambda one: (-one.count, one.kind))
    return Kinds(ordered, too_large, first.indexed_seq, first.stream_seq)
