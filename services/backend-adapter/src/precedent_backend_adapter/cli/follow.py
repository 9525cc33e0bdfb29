"""New events as the index gets them: what `list` says, asked again whenever the index has moved.

Why not a subscription: an event on the bus has no id yet where the publisher gave none, has not been checked, and
may become a dead letter. Here every event is shown as the index has it, and reading needs no other permission than
asking. A revision that is replaced between two looks is shown in its last form alone.
"""

from precedent_backend_adapter.interface import PrecedentClient
from precedent_schemas import Entry, Filter
from precedent_schemas.filtering import predicate

_PAGE = 100


class Follower:
    """What is new in one collection since the last look.

    Args:
        client: who answers.
        collection: where to look.
        filter: which events are wanted.
    """

    def __init__(self, client: PrecedentClient, collection: str, filter: Filter | None) -> None:  # noqa: A002 -- the field's name
        self._client = client
        self._collection = collection
        self._filter = filter
        self._passes = predicate(filter)
        self._covered = 0
        self._ahead: set[int] = set()

    async def last(self, count: int) -> list[Entry]:
        """The newest that pass the filter, oldest first; the next look begins behind everything that is there now."""
        page = await self._client.list_page(collection=self._collection, filter=self._filter, limit=max(count, 1))
        shown = page.events[:count]
        self._covered = page.indexed_seq
        self._ahead = {one.seq for one in shown if one.seq > self._covered}
        return shown[::-1]

    async def look(self) -> list[Entry]:
        """What has come since, oldest first."""
        stats = await self._client.collection_stats(self._collection)
        if stats.stream_seq < self._covered:
            # The log was made anew: its sequences begin again.
            self._covered, self._ahead = 0, set()
        if self._covered >= stats.indexed_seq == stats.stream_seq:
            return []
        return [one for one in await self._news() if self._passes is None or self._passes(one.event, one.outcome)]

    async def _news(self) -> list[Entry]:
        """Everything beyond the last look. It is filtered here: a rare match would make the index read all it has."""
        found: dict[int, Entry] = {}
        reached: int | None = None
        cursor: str | None = None
        while True:
            page = await self._client.list_page(collection=self._collection, limit=_PAGE, cursor=cursor)
            # Up to the first page's `indexed_seq` nothing more can come; beyond it, something may come in between.
            reached = page.indexed_seq if reached is None else reached
            fresh = [one for one in page.events if one.seq > self._covered]
            found |= {one.seq: one for one in fresh if one.seq not in self._ahead}
            cursor = page.cursor
            if cursor is None or len(fresh) < len(page.events):
                break
        self._ahead = {seq for seq in self._ahead | found.keys() if seq > reached}
        self._covered = max(self._covered, reached)
        return [found[seq] for seq in sorted(found)]
