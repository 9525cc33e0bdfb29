# ruff: noqa: ASYNC109 -- callers choose how long they wait
"""Methods that remove events, and those of dead letters."""

from collections.abc import AsyncIterator, Iterable

from precedent_backend_adapter._calls import arguments
from precedent_backend_adapter._calls.base import Calls
from precedent_backend_adapter.errors import invalid
from precedent_schemas import INCIDENTS, ClearReply, DeleteReply, FieldProblem
from precedent_schemas import catalogue as asked
from precedent_schemas.dead_letters import DeadDropReply, DeadGetReply, DeadLetter, DeadListReply, DeadReplayReply
from precedent_schemas.limits import DEFAULT_LIMIT


class RemovalCalls(Calls):
    """Remove events; look at, publish again and forget dead letters."""

    async def delete(
        self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None
    ) -> DeleteReply:
        """Remove events for good, 1 to 1000, with all their revisions and outcomes, from the index and the log.

        After `Unavailable` they may be gone or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """
        return await self._checked(
            asked.DELETE, collection, {"ids": arguments.several("ids", ids)}, DeleteReply, timeout
        )

    async def clear(self, collection: str, *, confirm: str, timeout: float | None = None) -> ClearReply:
        """Remove everything in a collection for good; `confirm` is its name once more.

        After `Unavailable` it may have happened or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """
        if confirm != collection:
            message = f"should repeat the name of the collection, {collection!r:.80} (got {confirm!r:.80})"
            raise invalid([FieldProblem(field="confirm", message=message)])
        return await self._checked(asked.CLEAR, collection, {"confirm": confirm}, ClearReply, timeout)

    async def dead_letters(
        self, *, page_size: int = DEFAULT_LIMIT, timeout: float | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Everything that was refused and why, newest first; `timeout` is for each page."""
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
        """Dead letters by the sequence that their originals had in the log, 1 to 1000."""
        return await self._checked(
            asked.DEAD_GET, None, {"seqs": arguments.several("seqs", seqs)}, DeadGetReply, timeout
        )

    async def replay_dead_letters(
        self, seqs: Iterable[int], *, force: bool = False, timeout: float | None = None
    ) -> DeadReplayReply:
        """Publish dead letters again; without `force`, those whose event has a later revision are left alone."""
        question = {"seqs": arguments.several("seqs", seqs), "force": force}
        return await self._checked(asked.DEAD_REPLAY, None, question, DeadReplayReply, timeout)

    async def drop_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadDropReply:
        """Forget dead letters."""
        return await self._checked(
            asked.DEAD_DROP, None, {"seqs": arguments.several("seqs", seqs)}, DeadDropReply, timeout
        )
