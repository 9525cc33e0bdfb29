"""Every question, answered over a log and index in memory."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, TypeVar, cast

from pydantic import BaseModel

from precedent_backend_adapter._in_memory.bag_of_words import similarity
from precedent_backend_adapter._in_memory.log_and_index import Collection, Memory
from precedent_backend_adapter.errors import Conflict, NotFound, NotIndexedYet, invalid
from precedent_schemas import (
    Bucket,
    BucketCount,
    ClearReply,
    CollectionStatsReply,
    Coverage,
    DeleteReply,
    Entry,
    FieldProblem,
    Filter,
    GetReply,
    Hit,
    ListReply,
    Order,
    RecurrenceReply,
    SearchReply,
    StatsReply,
    StreamState,
    Summary,
)
from precedent_schemas import catalogue as asked
from precedent_schemas import questions as q
from precedent_schemas.answers import CollectionCount, ModelDetails
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.dead_letters import (
    DeadDropReply,
    DeadGetReply,
    DeadListReply,
    DeadReplayReply,
    Replayed,
    ReplayRefused,
)
from precedent_schemas.failures import ERROR_CODES, ErrorReason
from precedent_schemas.limits import MAX_K
from precedent_schemas.matching import canonical

Answer = TypeVar("Answer", bound=Coverage)

_MODEL: Final = ModelDetails(name="bag-of-words", fingerprint="in-memory", runtime="python")
_STARTS: Final[Mapping[Bucket, Callable[[datetime], datetime]]] = {
    Bucket.MINUTE: lambda moment: moment.replace(second=0, microsecond=0),
    Bucket.HOUR: lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    Bucket.DAY: lambda moment: moment.replace(hour=0, minute=0, second=0, microsecond=0),
}


class Answers:
    """The service's side of every question."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def of(self, endpoint: Endpoint, collection: str | None, request: BaseModel) -> BaseModel:
        """The answer to one question.

        Raises:
            PrecedentError: as the service would answer.
        """
        if collection is None:
            return _OF_SERVICE[endpoint.name](self, request)
        if isinstance(request, q.SearchRequest) and request.min_seq is not None:
            self._reached(request.min_seq)
        if collection not in self._memory.collections:
            raise _not_found(f"there is no collection {collection!r}; it exists from its first event on")
        return _OF_COLLECTION[endpoint.name](self, collection, request)

    # -- one collection

    def search(self, collection: str, request: BaseModel) -> BaseModel:
        question = cast("q.SearchRequest", request)
        found = self._nearest(collection, question.text, question.id, question.filter, question.min_similarity)
        hits = [hit for hit in found if hit.event.id != question.id][: question.k]
        return self._covered(SearchReply, hits=hits, summary=_summary(hits))

    def recurrence(self, collection: str, request: BaseModel) -> BaseModel:
        question = cast("q.RecurrenceRequest", request)
        found = self._nearest(collection, question.text, question.id, question.filter, question.min_similarity)
        counted: list[Entry] = list(found[:MAX_K])
        buckets: dict[datetime, list[Entry]] = {}
        for entry in sorted(counted, key=lambda entry: entry.event.occurred_at):
            buckets.setdefault(_STARTS[question.bucket](entry.event.occurred_at), []).append(entry)
        first, last = _seen(counted)
        return self._covered(
            RecurrenceReply,
            total=len(counted),
            capped=len(found) > MAX_K,
            buckets=[
                BucketCount(start=start, count=len(several), users=_users(several), ips=_ips(several))
                for start, several in buckets.items()
            ],
            users=_users(counted),
            ips=_ips(counted),
            first_seen=first,
            last_seen=last,
        )

    def get(self, collection: str, request: BaseModel) -> BaseModel:
        stored = self._memory.collections[collection]
        found = {event_id: stored.entry(event_id) for event_id in cast("q.GetRequest", request).ids}
        there = [entry for entry in found.values() if entry is not None]
        return self._covered(GetReply, events=there, missing=[one for one, entry in found.items() if entry is None])

    def page(self, collection: str, request: BaseModel) -> BaseModel:
        question = cast("q.ListRequest", request)
        entries = self._memory.collections[collection].entries(question.filter)
        if question.order is Order.OLDEST:
            entries.reverse()
        page, cursor = _page(entries, [entry.seq for entry in entries], question.limit, question.cursor, question.order)
        return self._covered(ListReply, events=page, cursor=cursor)

    def delete(self, collection: str, request: BaseModel) -> BaseModel:
        deleted, missing = self._memory.delete(collection, cast("q.DeleteRequest", request).ids)
        return DeleteReply(deleted=deleted, missing=missing)

    def clear(self, collection: str, _: BaseModel) -> BaseModel:
        return ClearReply(deleted=self._memory.clear(collection))

    def collection_stats(self, collection: str, _: BaseModel) -> BaseModel:
        return self._covered(CollectionStatsReply, count=len(self._memory.collections[collection].events))

    # -- the service

    def stats(self, _: BaseModel) -> BaseModel:
        last = self._memory.last_seq
        return self._covered(
            StatsReply,
            version="in-memory",
            uptime_seconds=0,
            collections={
                name: CollectionCount(count=len(stored.events)) for name, stored in self._memory.collections.items()
            },
            stream=StreamState(last_seq=last, messages=last, bytes=self._memory.bytes),
            pending=0,
            ack_pending=0,
            redelivered=0,
            dead_letters=len(self._memory.dead),
        )

    def dead_list(self, request: BaseModel) -> BaseModel:
        question = cast("q.DeadListRequest", request)
        letters = sorted(self._memory.dead.values(), key=lambda letter: -letter.seq)
        page, cursor = _page(letters, [letter.seq for letter in letters], question.limit, question.cursor, Order.NEWEST)
        return DeadListReply(dead_letters=page, cursor=cursor)

    def dead_get(self, request: BaseModel) -> BaseModel:
        there, missing = self._dead(request)
        return DeadGetReply(dead_letters=[self._memory.dead[seq] for seq in there], missing=missing)

    def dead_replay(self, request: BaseModel) -> BaseModel:
        there, missing = self._dead(request)
        force = cast("q.DeadReplayRequest", request).force
        done = [self._memory.replay(seq, force=force) for seq in there]
        return DeadReplayReply(
            replayed=[one for one in done if isinstance(one, Replayed)],
            refused=[one for one in done if isinstance(one, ReplayRefused)],
            missing=missing,
        )

    def dead_drop(self, request: BaseModel) -> BaseModel:
        there, missing = self._dead(request)
        for seq in there:
            self._memory.drop(seq)
        return DeadDropReply(dropped=there, missing=missing)

    # -- shared

    def _nearest(
        self, collection: str, text: str | None, event_id: str | None, wanted: Filter | None, least: float | None
    ) -> list[Hit]:
        stored = self._memory.collections[collection]
        about = text if text is not None else _text_of(stored, event_id or "", collection)
        hits = (Hit(**dict(one), similarity=similarity(about, one.event.text)) for one in stored.entries(wanted))
        # The sort is stable: among equals the newest comes first.
        return sorted(
            (hit for hit in hits if least is None or hit.similarity >= least), key=lambda hit: -hit.similarity
        )

    def _reached(self, seq: int) -> None:
        if seq > self._memory.last_seq:
            raise NotIndexedYet(f"the index has reached {self._memory.last_seq}, not yet {seq}")
        if seq in self._memory.dead:
            letter = self._memory.dead[seq]
            message = f"sequence {seq} became a dead letter: {letter.reason}: {letter.detail}"
            raise Conflict(message, reason=ErrorReason.REFUSED, code=ERROR_CODES[ErrorReason.REFUSED])

    def _dead(self, request: BaseModel) -> tuple[list[int], list[int]]:
        seqs = list(dict.fromkeys(cast("q.DeadSeqsRequest", request).seqs))
        there = [seq for seq in seqs if seq in self._memory.dead]
        return there, [seq for seq in seqs if seq not in self._memory.dead]

    def _covered(self, reply: type[Answer], **fields: object) -> Answer:
        last = self._memory.last_seq
        return reply.model_validate({"indexed_seq": last, "stream_seq": last, "model": dict(_MODEL), **fields})


_OF_COLLECTION: Final[Mapping[str, Callable[[Answers, str, BaseModel], BaseModel]]] = {
    asked.SEARCH.name: Answers.search,
    asked.RECURRENCE.name: Answers.recurrence,
    asked.GET.name: Answers.get,
    asked.LIST.name: Answers.page,
    asked.DELETE.name: Answers.delete,
    asked.CLEAR.name: Answers.clear,
    asked.COLLECTION_STATS.name: Answers.collection_stats,
}
_OF_SERVICE: Final[Mapping[str, Callable[[Answers, BaseModel], BaseModel]]] = {
    asked.STATS.name: Answers.stats,
    asked.DEAD_LIST.name: Answers.dead_list,
    asked.DEAD_GET.name: Answers.dead_get,
    asked.DEAD_REPLAY.name: Answers.dead_replay,
    asked.DEAD_DROP.name: Answers.dead_drop,
}

Item = TypeVar("Item")


def _page(
    items: list[Item], seqs: list[int], limit: int, cursor: str | None, order: Order
) -> tuple[list[Item], str | None]:
    """At most `limit` items beyond the cursor, which is the last sequence of the page before."""
    start = 0
    if cursor is not None:
        if not (cursor.isascii() and cursor.isdigit()):
            raise invalid([FieldProblem(field="cursor", message=f"is not from a page before (got {cursor!r:.60})")])
        before = int(cursor)
        start = sum(seq >= before if order is Order.NEWEST else seq <= before for seq in seqs)
    page = items[start : start + limit]
    more = start + limit < len(items)
    return page, str(seqs[start + limit - 1]) if more else None


def _summary(entries: Iterable[Entry]) -> Summary:
    listed = list(entries)
    outcomes = [entry.outcome for entry in listed if entry.outcome is not None]
    first, last = _seen(listed)
    return Summary(
        verdicts=dict(Counter(str(outcome.verdict) for outcome in outcomes)),
        mitigations=dict(Counter(outcome.mitigation for outcome in outcomes if outcome.mitigation is not None)),
        first_seen=first,
        last_seen=last,
    )


def _seen(entries: list[Entry]) -> tuple[datetime | None, datetime | None]:
    moments = [entry.event.occurred_at for entry in entries]
    return min(moments, default=None), max(moments, default=None)


def _users(entries: list[Entry]) -> int:
    return len({canonical(entry.event.user) for entry in entries if entry.event.user is not None})


def _ips(entries: list[Entry]) -> int:
    return len({entry.event.ip for entry in entries} - {None})


def _text_of(stored: Collection, event_id: str, collection: str) -> str:
    entry = stored.entry(event_id)
    if entry is None:
        raise _not_found(f"there is no event {event_id!r} in {collection!r}")
    return entry.event.text


def _not_found(message: str) -> NotFound:
    return NotFound(message, reason=ErrorReason.NOT_FOUND, code=ERROR_CODES[ErrorReason.NOT_FOUND])
