"""What the log no longer has, by its own limits, leaves the index too: rows, outcomes, and their vectors."""

from typing import Final

import structlog

from precedent_indexer.domain.index_state import Writes
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.runtime.threads import Workers

log = structlog.get_logger(__name__)

_TOGETHER: Final = 200
"""Rows that leave together: the store holds the interpreter for so long, and the log waits."""


async def expire(workers: Workers, store: VectorStore, vectors: VectorFile, first_seq: int) -> int:
    """Let go of everything that came before `first_seq`, the first message that the log still has; how many events."""
    count = 0
    for collection in await workers.read(store.places):
        while True:
            found, events = await workers.write(_expire_some, store, vectors, collection, first_seq)
            count += events
            if not found:
                break
    if count:
        log.info("events_expired", events=count, log_begins_at=first_seq)
    return count


def _expire_some(store: VectorStore, vectors: VectorFile, collection: str, first_seq: int) -> tuple[bool, int]:
    """Whether anything was found, and how many events."""
    rows, decided = store.older(collection, first_seq, _TOGETHER)
    if not rows and not decided:
        return False, 0
    events = [row.event.id for row in rows]
    # First what is shown with rows that stay: where this breaks off, the outcomes are found again.
    orphaned = [one for one in store.rows(collection, decided) if one not in set(events)]
    if orphaned:
        store.write(collection, Writes(joined=dict.fromkeys(orphaned)))
    vectors.forget(collection, [row.event.text for row in rows])
    store.remove(collection, events, decided)
    return True, len(events)
