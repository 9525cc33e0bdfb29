"""The verbs `delete` and `clear`: a deletion is first in the log, then applied, then answered."""

import time
from collections.abc import Callable
from typing import Final

import structlog

from precedent_indexer.api.index_view import IndexView
from precedent_indexer.errors import JetStreamRefused, QuestionFailed
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_schemas import answers, questions
from precedent_schemas.events import Deletion
from precedent_schemas.failures import ErrorReason, FieldProblem
from precedent_schemas.limits import REPLY_SHARE_OF_MAX_PAYLOAD

log = structlog.get_logger(__name__)

_REPLY_MARGIN_BYTES: Final = 64
_PATIENCE_S: Final = 30.0
"""Seconds for the index to reach the deletion; behind a long backlog, it is applied later all the same."""
_TOGETHER: Final = 64
"""Ids of one part of a deletion. The server takes some 10 ms to overwrite each of their messages, and ingest waits."""
_NAMED: Final = 20
"""Most ids of a deletion that its line in the log names."""


class DeletionVerbs:
    """Deletes through the log, so that no rebuild brings back what is gone."""

    def __init__(self, view: IndexView, results: DeletionResults, max_payload: Callable[[], int]) -> None:
        self._view = view
        self._results = results
        self._max_payload = max_payload

    async def delete(self, collection: str, request: questions.DeleteRequest) -> answers.DeleteReply:
        """Remove events; what could not be found is named."""
        await self._must_exist(collection)
        ids = list(dict.fromkeys(request.ids))
        self._must_fit(ids)
        gone: list[str] = []
        until = time.monotonic() + _PATIENCE_S
        left = ids
        try:
            while left:
                # Events published meanwhile are indexed between two parts. No event waits for the last part.
                part = left[:_TOGETHER] if time.monotonic() < until else left
                seq = await self._publish(collection, Deletion(ids=part))
                left = left[len(part) :]
                removed = await self._applied(seq, until)
                gone += removed if isinstance(removed, list) else []
        finally:
            # Also of one that broke off: what was published of it is applied all the same.
            published = len(ids) - len(left)
            named = " ".join(ids[:_NAMED])
            log.info("events_deleted", collection=collection, published=published, deleted=len(gone), ids=named)
        return answers.DeleteReply(deleted=gone, missing=[one for one in ids if one not in set(gone)])

    async def clear(self, collection: str, request: questions.ClearRequest) -> answers.ClearReply:
        """Remove a whole collection."""
        await self._must_exist(collection)
        if request.confirm != collection:
            raise QuestionFailed(
                ErrorReason.INVALID_REQUEST,
                f"confirm is {request.confirm!r}, the collection is {collection!r}: nothing was removed",
                [FieldProblem(field="confirm", message="must be the name of the collection")],
            )
        seq = await self._publish(collection, Deletion(all=True))
        log.info("collection_cleared", collection=collection, seq=seq)
        removed = await self._applied(seq, time.monotonic() + _PATIENCE_S)
        return answers.ClearReply(deleted=removed if isinstance(removed, int) else 0)

    def _must_fit(self, ids: list[str]) -> None:
        """Before anything is removed: will the reply that names these ids fit?"""
        room = int(self._max_payload() * REPLY_SHARE_OF_MAX_PAYLOAD) - _REPLY_MARGIN_BYTES
        size = 0
        for count, one in enumerate(ids):
            size += len(one) + 3
            if size > room:
                raise QuestionFailed(
                    ErrorReason.TOO_LARGE,
                    f"the reply would not fit the server's max_payload: ask for at most {count} ids",
                )

    async def _must_exist(self, collection: str) -> None:
        """As the view's; but what the log has already may begin the collection, so look once more then."""
        if not await self._view.workers.read(self._view.store.exists, collection):
            await self._view.progress.reach((await self._view.source.state()).last_seq, _PATIENCE_S)
        await self._view.must_exist(collection)

    async def _publish(self, collection: str, deletion: Deletion) -> int:
        try:
            return await self._view.source.publish_deletion(collection, deletion)
        except JetStreamRefused as error:
            raise QuestionFailed(
                ErrorReason.UNAVAILABLE,
                "the log does not take the deletion (is it full?): nothing was removed for it; raise its max_bytes and "
                "ask again",
            ) from error

    async def _applied(self, seq: int, until: float) -> list[str] | int | None:
        """What the deletion at `seq` removed, once it is applied."""
        if not await self._view.progress.reach(seq, max(0.0, until - time.monotonic())):
            raise QuestionFailed(
                ErrorReason.NOT_INDEXED_YET,
                f"the deletion is in the log as {seq} and will be applied, but the index is still at "
                f"{self._view.progress.indexed_seq}: ask for the ids again later",
            )
        refusal = self._view.progress.refusal(seq)
        if refusal is not None:
            raise QuestionFailed(
                ErrorReason.REFUSED,
                f"the deletion is in the log as {seq}, but became a dead letter ({refusal.reason}): "
                f"{refusal.detail}; it may be done in part: ask again",
            )
        return self._results.of(seq)
