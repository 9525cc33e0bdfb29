# ruff: noqa: ASYNC109 -- callers choose how long they wait
"""Methods that ask the index."""

from collections.abc import AsyncIterator, Iterable

from precedent_backend_adapter._calls import arguments
from precedent_backend_adapter._calls.base import Calls
from precedent_backend_adapter.receipts import Receipt
from precedent_schemas import (
    INCIDENTS,
    Bucket,
    CollectionStatsReply,
    Entry,
    Filter,
    GetReply,
    ListReply,
    Order,
    RecurrenceReply,
    SearchReply,
    StatsReply,
)
from precedent_schemas import catalogue as asked
from precedent_schemas.limits import DEFAULT_K, DEFAULT_LIMIT, DEFAULT_RECURRENCE_SIMILARITY


class QuestionCalls(Calls):
    """Ask what is known; nothing changes."""

    async def search(
        self,
        text: str | None = None,
        *,
        id: str | None = None,  # noqa: A002 -- the field's name on the wire
        collection: str = INCIDENTS,
        k: int = DEFAULT_K,
        min_similarity: float | None = None,
        filter: Filter | None = None,  # noqa: A002 -- the field's name on the wire
        after: Receipt | int | None = None,
        wait: float | None = None,
        timeout: float | None = None,
    ) -> SearchReply:
        """The events nearest in meaning to a text or to an event, best first.

        Args:
            text: what to look for; or `id`.
            id: an event of the collection: more like that one, itself left out.
            collection: where to look.
            k: most hits, 1 to 1000.
            min_similarity: least cosine similarity, -1 to 1.
            filter: which events may be in the answer.
            after: a receipt or a sequence; the answer waits until the index has reached it.
            wait: longest wait for that, 0 to 30 seconds; absent: 2, or less where `timeout` is short.
            timeout: see the class; absent, the wait comes on top.

        Raises:
            NotFound: no such collection, or no such event.
            NotIndexedYet: `after` was not reached within `wait`.
            NotDelivered: the log refuses what `after` is the receipt of.
            Conflict: the message named by `after` became a dead letter; says why.
            TooLarge: the answer does not fit one message; names the `k` that does.
        """
        about = {"text": text, "id": id, "k": k, "min_similarity": min_similarity, "filter": filter}
        wait_ms, seconds = arguments.waits(wait, timeout, self._question_timeout, after=after is not None)
        if isinstance(after, Receipt):
            if not after.is_delivered:
                wait_ms, seconds = await arguments.delivered(after, wait_ms, seconds)
            after = after.seq
        about |= {"min_seq": after, "wait_ms": wait_ms}
        return await self._checked(asked.SEARCH, collection, about, SearchReply, seconds)

    async def recurrence(
        self,
        text: str | None = None,
        *,
        id: str | None = None,  # noqa: A002 -- the field's name on the wire
        collection: str = INCIDENTS,
        min_similarity: float = DEFAULT_RECURRENCE_SIMILARITY,
        filter: Filter | None = None,  # noqa: A002 -- the field's name on the wire
        bucket: Bucket = Bucket.DAY,
        timeout: float | None = None,
    ) -> RecurrenceReply:
        """How often events like a text or an event came, by minute, hour or day of UTC; the event itself counts.

        Raises:
            NotFound: no such collection, or no such event.
        """
        about = {"text": text, "id": id, "min_similarity": min_similarity, "filter": filter, "bucket": bucket}
        return await self._checked(asked.RECURRENCE, collection, about, RecurrenceReply, timeout)

    async def get(self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None) -> GetReply:
        """Events by id, 1 to 1000, in the order asked; and which are missing.

        Raises:
            NotFound: no such collection.
            TooLarge: the answer does not fit one message; names how many do.
        """
        return await self._checked(asked.GET, collection, {"ids": arguments.several("ids", ids)}, GetReply, timeout)

    async def list_page(
        self,
        *,
        collection: str = INCIDENTS,
        filter: Filter | None = None,  # noqa: A002 -- the field's name on the wire
        order: Order = Order.NEWEST,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        timeout: float | None = None,
    ) -> ListReply:
        """One page of all events that pass a filter, by sequence; `cursor` is there while there is more.

        Raises:
            NotFound: no such collection.
        """
        page = {"filter": filter, "order": order, "limit": limit, "cursor": cursor}
        return await self._checked(asked.LIST, collection, page, ListReply, timeout)

    async def list(
        self,
        *,
        collection: str = INCIDENTS,
        filter: Filter | None = None,  # noqa: A002 -- the field's name on the wire
        order: Order = Order.NEWEST,
        page_size: int = DEFAULT_LIMIT,
        timeout: float | None = None,
    ) -> AsyncIterator[Entry]:
        """All events that pass a filter, by sequence, fetched page by page; `timeout` is for each page.

        An event that is larger than the server's max_payload allows a reply to be is left out; `list_page` names it
        in `too_large`.

        Raises:
            NotFound: no such collection.
        """
        cursor: str | None = None
        while True:
            page = await self.list_page(
                collection=collection, filter=filter, order=order, limit=page_size, cursor=cursor, timeout=timeout
            )
            for entry in page.events:
                yield entry
            cursor = page.cursor
            if cursor is None:
                return

    async def collection_stats(
        self, collection: str = INCIDENTS, *, timeout: float | None = None
    ) -> CollectionStatsReply:
        """Size of one collection, and how much of the log its index covers.

        Raises:
            NotFound: no such collection.
        """
        return await self._checked(asked.COLLECTION_STATS, collection, {}, CollectionStatsReply, timeout)

    async def stats(self, *, timeout: float | None = None) -> StatsReply:
        """Version, model, collections, log and backlog of the indexer."""
        return await self._checked(asked.STATS, None, {}, StatsReply, timeout)
