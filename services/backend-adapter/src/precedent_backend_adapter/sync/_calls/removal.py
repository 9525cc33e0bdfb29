"""Methods that remove events, and those of dead letters. Written by `tools/sync_calls.py`: do not edit."""

from collections.abc import Iterable, Iterator

from precedent_backend_adapter.sync._base import SyncCalls
from precedent_schemas import INCIDENTS, ClearReply, DeleteReply
from precedent_schemas.dead_letters import DeadDropReply, DeadGetReply, DeadLetter, DeadReplayReply
from precedent_schemas.limits import DEFAULT_LIMIT


class RemovalCalls(SyncCalls):
    """Remove events; look at, publish again and forget dead letters."""

    def delete(self, ids: Iterable[str], *, collection: str = INCIDENTS, timeout: float | None = None) -> DeleteReply:
        """Remove events for good, 1 to 1000, with all their revisions and outcomes, from the index and the log.

        After `Unavailable` they may be gone or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """
        return self._call(lambda client: client.delete(ids, collection=collection, timeout=timeout))

    def clear(self, collection: str, *, confirm: str, timeout: float | None = None) -> ClearReply:
        """Remove everything in a collection for good; `confirm` is its name once more.

        After `Unavailable` it may have happened or not; asking again is safe.

        Raises:
            NotFound: no such collection.
        """
        return self._call(lambda client: client.clear(collection, confirm=confirm, timeout=timeout))

    def dead_letters(self, *, page_size: int = DEFAULT_LIMIT, timeout: float | None = None) -> Iterator[DeadLetter]:
        """Everything that was refused and why, newest first; `timeout` is for each page."""
        return self._iterate(lambda client: client.dead_letters(page_size=page_size, timeout=timeout))

    def get_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadGetReply:
        """Dead letters by the sequence that their originals had in the log, 1 to 1000."""
        return self._call(lambda client: client.get_dead_letters(seqs, timeout=timeout))

    def replay_dead_letters(
        self, seqs: Iterable[int], *, force: bool = False, timeout: float | None = None
    ) -> DeadReplayReply:
        """Publish dead letters again; without `force`, those whose event has a later revision are left alone."""
        return self._call(lambda client: client.replay_dead_letters(seqs, force=force, timeout=timeout))

    def drop_dead_letters(self, seqs: Iterable[int], *, timeout: float | None = None) -> DeadDropReply:
        """Forget dead letters."""
        return self._call(lambda client: client.drop_dead_letters(seqs, timeout=timeout))
