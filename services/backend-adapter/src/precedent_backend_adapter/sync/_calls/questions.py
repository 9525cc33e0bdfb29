"""Methods that ask the index. Written by `tools/sync_calls.py`: do not edit."""

from collections.abc import Iterable, Iterator

from precedent_backend_adapter.receipts import Receipt
from precedent_backend_adapter.sync._base import SyncCalls
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
from precedent_schemas.limits import DEFAULT_K, DEFAULT_LIMIT, DEFAULT_RECURRENCE_SIMILARITY


class QuestionCalls(SyncCalls):
    """Ask what is known; nothing changes."""

    def search(
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
        return self._call(
            lambda client: client.search(
                text,
                id=id,
                collection=collection,
                k=k,
                min_similarity=min_similarity,
                filter=filter,
                after=after,
                wait=wait,
                timeout=timeout,
            )
        )

    def recurrence(
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
        return self._call(
            lambda client: client.recurrence(
                text,
                id=id,
                collection=collection,
                min_similarity=min_similarity,
                filter=filter,
                bucket=bucket,
                timeout=timeout,
            )
        )

    def get(self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None) -> GetReply:
        """Events by id, 1 to 1000, in the order asked; and which are missing.

        Raises:
            NotFound: no such collection.
            TooLarge: the answer does not fit one message; names how many do.
        """
        return self._call(lambda client: client.get(ids, collection=collection, timeout=timeout))

    def list_page(
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
        return self._call(
            lambda client: client.list_page(
                collection=collection, filter=filter, order=order, limit=limit, cursor=cursor, timeout=timeout
            )
        )

    def list(
        self,
        *,
        collection: str = INCIDENTS,
        filter: Filter | None = None,  # noqa: A002 -- the field's name on the wire
        order: Order = Order.NEWEST,
        page_size: int = DEFAULT_LIMIT,
        timeout: float | None = None,
    ) -> Iterator[Entry]:
        """All events that pass a filter, by sequence, fetched page by page; `timeout` is for each page.

        An event that is larger than the server's max_payload allows a reply to be is left out; `list_page` names it
        in `too_large`.

        Raises:
            NotFound: no such collection.
        """
        return self._iterate(
            lambda client: client.list(
                collection=collection, filter=filter, order=order, page_size=page_size, timeout=timeout
            )
        )

    def collection_stats(self, collection: str = INCIDENTS, *, timeout: float | None = None) -> CollectionStatsReply:
        """Size of one collection, and how much of the log its index covers.

        Raises:
            NotFound: no such collection.
        """
        return self._call(lambda client: client.collection_stats(collection, timeout=timeout))

    def stats(self, *, timeout: float | None = None) -> StatsReply:
        """Version, model, collections, log and backlog of the indexer."""
        return self._call(lambda client: client.stats(timeout=timeout))
