# ruff: noqa: ASYNC109 -- the timeout of every call is for callers, and is kept further down
"""The public methods of every client, over two private ones: send a publication, ask a question."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from precedent_backend_adapter._publishing import publications
from precedent_backend_adapter._publishing.pipeline import Pipeline
from precedent_backend_adapter._publishing.reports import DEFAULT_WINDOW, PublishProgress, PublishReport
from precedent_backend_adapter._tracing import context
from precedent_backend_adapter.config import is_duration
from precedent_backend_adapter.errors import NotDeliveredYet, invalid
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas import (
    INCIDENTS,
    Bucket,
    ClearReply,
    CollectionStatsReply,
    DecodeError,
    DeleteReply,
    Entry,
    FieldProblem,
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
from precedent_schemas import catalogue as asked
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.codec import validate
from precedent_schemas.dead_letters import DeadDropReply, DeadGetReply, DeadLetter, DeadListReply, DeadReplayReply
from precedent_schemas.limits import (
    DEFAULT_K,
    DEFAULT_LIMIT,
    DEFAULT_RECURRENCE_SIMILARITY,
    DEFAULT_WAIT_MS,
)

Reply = TypeVar("Reply", bound=BaseModel)

_MS: Final = 1_000
# What a wait for `after` may take of a timeout that the caller has set, where the caller has not set the wait.
_WAIT_SHARE: Final = 0.5
_LEAST_S: Final = 0.001


class Questions(ABC):
    """Everything that callers call; documented in `PrecedentClient`."""

    _question_timeout: float

    @abstractmethod
    async def _send(self, publication: Publication) -> Receipt:
        """Have the log take `publication`."""

    @abstractmethod
    async def _ask(
        self, endpoint: Endpoint, collection: str | None, request: BaseModel, reply: type[Reply], seconds: float
    ) -> Reply:
        """Ask a question whose arguments have been checked."""

    # -- the log

    async def publish(self, event: SecurityEvent, *, headers: Mapping[str, str] | None = None) -> Receipt:
        """Publish one event."""
        with context.publishing(publications.of_event(event, headers)) as publication:
            return await self._send(publication)

    async def publish_many(
        self,
        events: Iterable[SecurityEvent] | AsyncIterable[SecurityEvent],
        *,
        window: int = DEFAULT_WINDOW,
        progress: Callable[[PublishProgress], None] | None = None,
    ) -> PublishReport:
        """Publish many events, their acknowledgements awaited together."""
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise invalid([FieldProblem(field="window", message=f"should be a number above 0 (got {window!r:.60})")])
        return await Pipeline(self.publish, window, progress).run(events)

    async def publish_outcome(
        self, outcome: Outcome, *, collection: str = INCIDENTS, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Publish what was decided about an event."""
        with context.publishing(publications.of_outcome(outcome, collection, headers)) as publication:
            return await self._send(publication)

    async def republish(self, pending: Publication) -> Receipt:
        """Send exactly what an earlier call could not."""
        with context.publishing(pending, anew=True) as publication:
            return await self._send(publication)

    # -- questions to one collection

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
        """The events nearest in meaning to a text or an event."""
        about = {"text": text, "id": id, "k": k, "min_similarity": min_similarity, "filter": filter}
        wait_ms, patience = self._wait(wait, timeout, waits=after is not None)
        if isinstance(after, Receipt):
            if not after.is_delivered:
                wait_ms, patience = await _delivered(after, wait_ms, patience)
            after = after.seq
        about |= {"min_seq": after, "wait_ms": wait_ms}
        return await self._checked(asked.SEARCH, collection, about, SearchReply, patience)

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
        """How often events like a text or an event came."""
        about = {"text": text, "id": id, "min_similarity": min_similarity, "filter": filter, "bucket": bucket}
        return await self._checked(asked.RECURRENCE, collection, about, RecurrenceReply, timeout)

    async def get(self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None) -> GetReply:
        """Events by id, in the order asked."""
        return await self._checked(asked.GET, collection, {"ids": _several("ids", ids)}, GetReply, timeout)

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
        """One page of all events that pass a filter."""
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
        """All events that pass a filter, one after the other."""
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

    async def delete(
        self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None
    ) -> DeleteReply:
        """Remove events for good."""
        return await self._checked(asked.DELETE, collection, {"ids": _several("ids", ids)}, DeleteReply, timeout)

    async def clear(self, collection: str, *, confirm: str, timeout: float | None = None) -> ClearReply:
        """Remove a whole collection for good."""
        if confirm != collection:
            message = f"should repeat the name of the collection, {collection!r:.80} (got {confirm!r:.80})"
            raise invalid([FieldProblem(field="confirm", message=message)])
        return await self._checked(asked.CLEAR, collection, {"confirm": confirm}, ClearReply, timeout)

    async def collection_stats(
        self, collection: str = INCIDENTS, *, timeout: float | None = None
    ) -> CollectionStatsReply:
        """Size and coverage of one collection."""
        return await self._checked(asked.COLLECTION_STATS, collection, {}, CollectionStatsReply, timeout)

    # -- questions to the service

    async def stats(self, *, timeout: float | None = None) -> StatsReply:
        """Version, model, collections, log and backlog of the indexer."""
        return await self._checked(asked.STATS, None, {}, StatsReply, timeout)

    async def dead_letters(
        self, *, page_size: int = DEFAULT_LIMIT, timeout: float | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Everything that was refused, newest first."""
        cursor: str | None = None
        while True:
            question = {"limit": page_size, "cursor": cursor}
            page = await self._checked(asked.DEAD_LIST, None, question, DeadListReply, timeout)
            for letter in page.dead_letters:
                yield letter
            cursor = page.cursor
            if cursor is None:
                return

    async def get_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadGetReply:
        """Dead letters by the sequence of the original."""
        return await self._checked(asked.DEAD_GET, None, {"seqs": _several("seqs", seqs)}, DeadGetReply, timeout)

    async def replay_dead_letters(
        self, seqs: Iterable[int], *, force: bool = False, timeout: float | None = None
    ) -> DeadReplayReply:
        """Publish dead letters anew."""
        question = {"seqs": _several("seqs", seqs), "force": force}
        return await self._checked(asked.DEAD_REPLAY, None, question, DeadReplayReply, timeout)

    async def drop_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadDropReply:
        """Forget dead letters."""
        return await self._checked(asked.DEAD_DROP, None, {"seqs": _several("seqs", seqs)}, DeadDropReply, timeout)

    # -- arguments

    async def _checked(
        self,
        endpoint: Endpoint,
        collection: str | None,
        arguments: Mapping[str, Any],
        reply: type[Reply],
        seconds: float | None,
    ) -> Reply:
        if endpoint.per_collection:
            publications.check_collection(collection)
        patience = self._question_timeout if seconds is None else _seconds("timeout", seconds)
        try:
            # What is absent takes the default of the wire, so that both sides have one.
            request = validate(
                endpoint.request, {name: value for name, value in arguments.items() if value is not None}
            )
        except DecodeError as error:
            raise invalid(error.problems) from error
        with context.asking(endpoint, collection):
            return await self._ask(endpoint, collection, request, reply, patience)

    def _wait(self, wait: float | None, timeout: float | None, *, waits: bool) -> tuple[int | None, float | None]:
        """Milliseconds for the indexer to wait, and seconds for us: always more."""
        if wait is not None and (isinstance(wait, bool) or not isinstance(wait, int | float) or not wait >= 0):
            raise invalid([FieldProblem(field="wait", message=f"should be seconds from 0 to 30 (got {wait!r:.60})")])
        if timeout is None:
            waiting = (DEFAULT_WAIT_MS / _MS if wait is None else wait) if waits else 0.0
            return None if wait is None else round(min(wait, _MS) * _MS), self._question_timeout + waiting
        patience = _seconds("timeout", timeout)
        if wait is None:
            return (min(DEFAULT_WAIT_MS, int(patience * _WAIT_SHARE * _MS)) if waits else None), patience
        if waits and wait >= patience:
            message = f"should be longer than wait, which is {wait:g} s (got {patience:g})"
            raise invalid([FieldProblem(field="timeout", message=message)])
        return round(min(wait, _MS) * _MS), patience


async def _delivered(receipt: Receipt, wait_ms: int | None, patience: float | None) -> tuple[int, float | None]:
    """Wait for the outbox to deliver it; what is left of both waits then."""
    clock = asyncio.get_running_loop().time
    begin, wait = clock(), DEFAULT_WAIT_MS if wait_ms is None else wait_ms
    try:
        async with asyncio.timeout(wait / _MS):
            await receipt.delivered()
    except TimeoutError as error:
        what = f"{receipt.id!r} of {receipt.collection!r}"
        raise NotDeliveredYet(f"{what} was not delivered from the outbox within {wait} ms; ask again later") from error
    spent = clock() - begin
    return max(0, wait - round(spent * _MS)), None if patience is None else max(patience - spent, _LEAST_S)


def _seconds(name: str, value: float) -> float:
    if not is_duration(value):
        raise invalid([FieldProblem(field=name, message=f"should be seconds above 0 (got {value!r:.60})")])
    return value


def _several(name: str, values: Iterable[str] | Iterable[int]) -> list[Any]:
    if isinstance(values, str | bytes):
        # A string is also a series of strings: its letters.
        raise invalid(
            [FieldProblem(field=name, message=f"should be a list (got {values!r:.60}): write [{values!r:.60}]")]
        )
    return list(values)
