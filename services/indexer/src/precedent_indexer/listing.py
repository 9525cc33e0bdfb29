"""The verb `list`: every event that passes a filter, in the order of the log, page by page.

Pages are cut by sequence, so that what is published or deleted meanwhile neither shifts nor doubles anything. An
event that is revised meanwhile moves to its new place in the log, and is listed there or not at all.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any, Final

from precedent_indexer.answering import entry
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.filters import CompiledFilter, compile_filter
from precedent_indexer.ports import VectorStore
from precedent_indexer.records import Row
from precedent_indexer.view import IndexView
from precedent_schemas import answers, codec, questions
from precedent_schemas.failures import ErrorReason, FieldProblem
from precedent_schemas.limits import REPLY_SHARE_OF_MAX_PAYLOAD

_FIRST_WINDOW: Final = 128
_LAST_WINDOW: Final = 65_536
_GROWTH: Final = 4
"""A window that gave too few rows is followed by one so many times as wide."""
_CHECK_CHARS: Final = 16


class Lister:
    """Lists one collection at a time."""

    def __init__(self, view: IndexView, max_payload: Callable[[], int]) -> None:
        self._view = view
        self._max_payload = max_payload

    async def page(self, collection: str, request: questions.ListRequest) -> answers.ListReply:
        """One page."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        bound = _read_cursor(collection, request)
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
        page = self._fitting([entry(row) for row in rows[: request.limit]], coverage)
        more = len(rows) > len(page)
        return answers.ListReply(
            **dict(coverage), events=page, cursor=_cursor(collection, request, page[-1].seq) if more else None
        )

    def _fitting(self, page: list[answers.Entry], coverage: answers.Coverage) -> list[answers.Entry]:
        """As much of the page as one reply can carry; the cursor leads to the rest."""
        # What is not an entry: the coverage, the cursor and some punctuation.
        size = len(codec.encode(coverage)) + 1024
        room = int(self._max_payload() * REPLY_SHARE_OF_MAX_PAYLOAD)
        for count, one in enumerate(page):
            size += len(codec.encode(one)) + 1
            if size >= room and count:
                return page[:count]
        return page


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


def _cursor(collection: str, request: questions.ListRequest, seq: int) -> str:
    body = f"{seq}.{_check(collection, request, seq)}"
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


def _read_cursor(collection: str, request: questions.ListRequest) -> int | None:
    """The sequence that the page before ended with.

    Raises:
        QuestionFailed: it is no cursor of this listing.
    """
    if request.cursor is None:
        return None
    try:
        padded = request.cursor + "=" * (-len(request.cursor) % 4)
        seq_text, _, check = base64.urlsafe_b64decode(padded).decode("ascii").partition(".")
        seq = int(seq_text)
    except (ValueError, binascii.Error):
        seq, check = 0, ""
    if seq < 1 or check != _check(collection, request, seq):
        raise QuestionFailed(
            ErrorReason.INVALID_REQUEST,
            "cursor is not one that this listing gave: repeat collection, filter and order as in the page before",
            [FieldProblem(field="cursor", message="belongs to another listing, or was changed")],
        )
    return seq


def _check(collection: str, request: questions.ListRequest, seq: int) -> str:
    """What ties a cursor to its listing."""
    wanted: Any = request.filter.model_dump(mode="json") if request.filter else None
    tied = json.dumps([collection, str(request.order), wanted, seq], sort_keys=True)
    return hashlib.sha256(tied.encode()).hexdigest()[:_CHECK_CHARS]
