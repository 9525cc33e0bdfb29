"""The verb `list`: every event that passes a filter, in the order of the log, page by page.

Pages are cut by sequence, so that what is published or deleted meanwhile neither shifts nor doubles anything. An
event that is revised meanwhile moves to its new place in the log, and is listed there or not at all.
"""

from collections.abc import Callable
from typing import Final

from precedent_indexer.api.filter import CompiledFilter, compile_filter
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.paging import Page, read_cursor, size_of, write_cursor
from precedent_indexer.api.search import entry
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.domain.rows import Row
from precedent_schemas import answers, questions

_FIRST_WINDOW: Final = 128
_LAST_WINDOW: Final = 65_536
_GROWTH: Final = 4
"""A window that gave too few rows is followed by one so many times as wide."""


class Listing:
    """Lists one collection at a time."""

    def __init__(self, view: IndexView, max_payload: Callable[[], int]) -> None:
        self._view = view
        self._max_payload = max_payload

    async def page(self, collection: str, request: questions.ListRequest) -> answers.ListReply:
        """One page."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        listing = _listing(collection, request, (await self._view.source.state()).created)
        bound = read_cursor(listing, request.cursor) if request.cursor else None
        coverage = await self._view.coverage(covered)
        newest = request.order is questions.Order.NEWEST
        first, last = (
            (1, bound - 1 if bound else coverage.stream_seq) if newest else ((bound or 0) + 1, coverage.stream_seq)
        )
        rows = await self._view.workers.read(
            read_page,
            self._view.store,
            collection,
            first,
            last,
            request.limit + 1,
            newest,
            compile_filter(request.filter),
        )
        events, too_large = self._fitting([entry(row) for row in rows[: request.limit]], coverage)
        passed = [*(one.seq for one in events), *(one.seq for one in too_large)]
        last_seq = min(passed, default=0) if newest else max(passed, default=0)
        return answers.ListReply(
            **dict(coverage),
            events=events,
            too_large=too_large,
            cursor=write_cursor(listing, last_seq) if len(rows) > len(passed) else None,
        )

    def _fitting(
        self, entries: list[answers.Entry], coverage: answers.Coverage
    ) -> tuple[list[answers.Entry], list[answers.LargeEvent]]:
        """As many as one reply can carry, and which of these it cannot carry alone; the cursor leads to the rest."""
        page = Page(self._max_payload(), around=size_of(coverage))
        events: list[answers.Entry] = []
        too_large: list[answers.LargeEvent] = []
        for one in entries:
            size = size_of(one)
            if page.could_hold(size):
                if not page.take(size):
                    break
                events.append(one)
            else:
                large = answers.LargeEvent(id=one.event.id, seq=one.seq, bytes=size)
                if not page.take(size_of(large)):
                    break
                too_large.append(large)
        return events, too_large


def read_page(
    store: VectorStore,
    collection: str,
    first: int,
    last: int,
    count: int,
    newest: bool,  # noqa: FBT001 -- as above
    wanted: CompiledFilter | None,
) -> list[Row]:
    """Up to `count` rows with sequences from `first` to `last`, from the newest or the oldest on; blocking."""
    found: list[Row] = []
    width = max(_FIRST_WINDOW, count)
    where = wanted.where if wanted else None
    while first <= last and len(found) < count:
        low, high = (max(first, last - width + 1), last) if newest else (first, min(last, first + width - 1))
        rows = [row for row in store.window(collection, low, high, where) if wanted is None or wanted.matches(row)]
        found += reversed(rows) if newest else rows
        if newest:
            last = low - 1
        else:
            first = high + 1
        width = min(_LAST_WINDOW, width * _GROWTH)
    return found[:count]


def _listing(collection: str, request: questions.ListRequest, log_created: str) -> list[object]:
    """All that a cursor of this listing is tied to."""
    wanted = request.filter.model_dump(mode="json") if request.filter else None
    return [collection, str(request.order), wanted, log_created]
