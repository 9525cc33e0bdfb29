# ruff: noqa: ASYNC109 -- callers choose how long they wait
"""What a client of Precedent can do: the type to ask for in a backend's own code.

`Precedent` does it over NATS and `testing.InMemoryPrecedent` in memory; code that names this type takes both.
"""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import Protocol

from precedent_backend_adapter._publishing.reports import DEFAULT_WINDOW, OutboxStatus, PublishProgress, PublishReport
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas import (
    INCIDENTS,
    Bucket,
    ClearReply,
    CollectionStatsReply,
    DeleteReply,
    Entry,
    Filter,
    GetReply,
    ListReply,
    Order,
    Outcome,
    RecurrenceReply,
    SearchReply,
    SecurityEvent,
    StatsReply,
)
from precedent_schemas.dead_letters import DeadDropReply, DeadGetReply, DeadLetter, DeadReplayReply
from precedent_schemas.limits import DEFAULT_K, DEFAULT_LIMIT, DEFAULT_RECURRENCE_SIMILARITY


class PrecedentClient(Protocol):
    """Publish security events, and ask what is known of events like them.

    Every `timeout` is in seconds and covers the whole call; absent, the client's own setting holds. Arguments
    are checked before anything is sent and refused as the service would. All questions can raise `Refused`,
    `Overloaded`, `Unavailable`, `IndexerFailed` and `ProtocolError`.
    """

    async def publish(self, event: SecurityEvent, *, headers: Mapping[str, str] | None = None) -> Receipt:
        """Have the log take one event; retried with one message id until it has it or the deadline is over.

        An event without an id or a time gets both here. A publish that is cancelled may have been stored. A client
        with an outbox returns as soon as the event is on its disk, and delivers it later; see `Receipt`.

        Args:
            event: the event.
            headers: a trace carrier; its `traceparent` and `tracestate` are sent, anything else is left out. Without
                one, the context of the span in hand is sent, where OpenTelemetry traces.

        Raises:
            NotDelivered: the log certainly does not have it.
            DeliveryUnknown: it may have it; `republish(error.pending)`. With an outbox both speak of that.
            Refused: the event was built around its validation and would become a dead letter.
        """

    async def publish_many(
        self,
        events: Iterable[SecurityEvent] | AsyncIterable[SecurityEvent],
        *,
        window: int = DEFAULT_WINDOW,
        progress: Callable[[PublishProgress], None] | None = None,
    ) -> PublishReport:
        """Have the log take many events without waiting for each acknowledgement before the next is sent.

        Each is published as by `publish`: own message id, own retries, own deadline. One that fails does not stop
        the others. They are first sent in the order given; a retry may put one behind those that follow it, but
        never behind a later one with its own id.

        Args:
            events: what to publish; taken as there is room for them, so that it may be endless.
            window: most events whose acknowledgement is awaited at once, 1 or more.
            progress: called after each event that is settled; quick, since everything waits for it.

        Returns:
            Receipt or failure of every event, by position.

        Raises:
            Refused: `window` is no number above 0.
            Exception: whatever `events` or `progress` raises; what is in flight is then cancelled, and may have
                been stored.
        """

    async def publish_outcome(
        self, outcome: Outcome, *, collection: str = INCIDENTS, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Have the log take what was decided about an event; as `publish`.

        The latest outcome is shown with its event wherever the event is shown.
        """

    async def republish(self, pending: Publication) -> Receipt:
        """Send exactly what an earlier call could not, with the same message id; as `publish`.

        Within ten minutes of the first attempt the log stores it at most once.
        """

    async def outbox_status(self) -> OutboxStatus | None:
        """What waits in the outbox, and what stands against its delivery; None without one.

        Raises:
            OutboxUnavailable: its file cannot be read.
        """

    async def flush(self) -> None:
        """Wait until the outbox is empty; what the log refused does not count. Without an outbox at once.

        It waits as long as there is no connection: bound it by `asyncio.timeout`.
        """

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

    async def get(self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None) -> GetReply:
        """Events by id, 1 to 1000, in the order asked; and which are missing.

        Raises:
            NotFound: no such collection.
            TooLarge: the answer does not fit one message; names how many do.
        """

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

    def list(
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

    async def delete(
        self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None
    ) -> DeleteReply:
        """Remove events for good, 1 to 1000, with all their revisions and outcomes, from the index and the log.

        After `Unavailable` they may be gone or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """

    async def clear(self, collection: str, *, confirm: str, timeout: float | None = None) -> ClearReply:
        """Remove everything in a collection for good; `confirm` is its name once more.

        After `Unavailable` it may have happened or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """

    async def collection_stats(
        self, collection: str = INCIDENTS, *, timeout: float | None = None
    ) -> CollectionStatsReply:
        """Size of one collection, and how much of the log its index covers.

        Raises:
            NotFound: no such collection.
        """

    async def stats(self, *, timeout: float | None = None) -> StatsReply:
        """Version, model, collections, log and backlog of the indexer."""

    def dead_letters(
        self, *, page_size: int = DEFAULT_LIMIT, timeout: float | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Everything that was refused and why, newest first; `timeout` is for each page."""

    async def get_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadGetReply:
        """Dead letters by the sequence that their originals had in the log, 1 to 1000."""

    async def replay_dead_letters(
        self, seqs: Iterable[int], *, force: bool = False, timeout: float | None = None
    ) -> DeadReplayReply:
        """Publish dead letters anew; without `force`, those whose event has a later revision are left alone."""

    async def drop_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadDropReply:
        """Forget dead letters."""
