"""Two generations of the index side by side: do they find the same neighbours?"""

from collections.abc import AsyncIterator
from typing import Final

from precedent_indexer.domain.operations import PutEvent, decode
from precedent_indexer.domain.ports import Log, VectorStore
from precedent_indexer.runtime.threads import Workers

_QUESTIONS: Final = 50
"""Stored events that are asked about."""
_NEIGHBOURS: Final = 10
_LOOK_AT: Final = 10
"""Messages that are looked at for an event, from each point of the log."""


async def overlap_at_10(
    workers: Workers, source: Log, first_seq: int, last_seq: int, old: VectorStore, new: VectorStore
) -> float | None:
    """Of the ten nearest to each of up to 50 stored events, the mean share that both have; None where there are none.

    Each asks by its own vectors, so that two models can be compared.

    Raises:
        Fault: a store or the log fails.
    """
    shares: list[float] = []
    async for collection, event_id in _sample(source, first_seq, last_seq):
        share = await workers.read(_share, old, new, collection, event_id)
        if share is not None:
            shares.append(share)
    return round(sum(shares) / len(shares), 4) if shares else None


async def _sample(source: Log, first_seq: int, last_seq: int) -> AsyncIterator[tuple[str, str]]:
    """Collection and id of events from all over the log, each once."""
    seen: set[tuple[str, str]] = set()
    step = max(1, (last_seq - first_seq + 1) // _QUESTIONS)
    for begin in range(first_seq, last_seq + 1, step):
        looked_at = 0
        async for message in source.read(begin, min(begin + step, last_seq + 1) - 1):
            operation = decode(message)
            if isinstance(operation, PutEvent) and (operation.collection, operation.event.id) not in seen:
                seen.add((operation.collection, operation.event.id))
                yield operation.collection, operation.event.id
                break
            looked_at += 1
            if looked_at == _LOOK_AT:
                break


def _share(old: VectorStore, new: VectorStore, collection: str, event_id: str) -> float | None:
    near: list[set[str]] = []
    for store in (old, new):
        vector = store.vector(collection, event_id)
        if vector is None:
            return None
        near.append({one for one, _ in store.nearest_ids(collection, vector, _NEIGHBOURS, None)})
    return len(near[0] & near[1]) / max(len(near[0]), len(near[1]), 1)
