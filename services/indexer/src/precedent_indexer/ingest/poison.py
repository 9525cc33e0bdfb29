"""Finds the poison message in a batch that cannot be stored.

Each message is stored alone. A message that fails repeatedly while the store works is refused. If the store itself
fails, that is a fault, and no message is refused.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from precedent_indexer.domain.index_state import Writes
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.domain.operations import Operation
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.errors import BusUnavailable, StoreUnavailable
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.failures import DeadReason

log = structlog.get_logger(__name__)

_TRIES: Final = 3
_BETWEEN_TRIES_S: Final = 0.2
"""Seconds between two tries of one message: a short failure of the store must not cost an event."""


class PoisonIsolation:
    """Stores operations one by one, and decides whether a message or the store is at fault."""

    def __init__(self, store: VectorStore, workers: Workers) -> None:
        self._store = store
        self._workers = workers

    async def each(
        self, operations: Sequence[Operation], store_one: Callable[[Operation], Awaitable[None]]
    ) -> dict[int, Refusal]:
        """Call `store_one` with each of `operations`, in their order; refusals of those that fail, by sequence.

        Raises:
            StoreUnavailable: the store fails, whatever the message.
            BusUnavailable: the log cannot be written.
        """
        refusals: dict[int, Refusal] = {}
        for one in operations:
            failure = await self._try(one, store_one)
            if failure is not None:
                refusals[one.seq] = Refusal(
                    DeadReason.UNPROCESSABLE, f"the index takes other messages but not this one: {failure}"
                )
        return refusals

    async def _try(self, one: Operation, store_one: Callable[[Operation], Awaitable[None]]) -> str | None:
        """Name of the error that remains after every try; None if the operation was stored."""
        failure = None
        for _ in range(_TRIES):
            try:
                await store_one(one)
            except BusUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 -- any error of the store over one message
                failure = type(error.__cause__ or error).__name__
                log.warning("message_not_stored", seq=one.seq, error=failure)
                await self.probe(one.collection)
                await asyncio.sleep(_BETWEEN_TRIES_S)
            else:
                return None
        return failure

    async def probe(self, collection: str | None = None) -> None:
        """Check that the store and this collection work, by a write that changes nothing.

        Raises:
            StoreUnavailable: they do not work.
        """
        try:
            await self._workers.write(_rewrite, self._store, collection)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise StoreUnavailable(f"the index cannot be written: {type(error).__name__}") from error


def _rewrite(store: VectorStore, collection: str | None) -> None:
    identity = store.identity()
    if identity is None:
        raise StoreUnavailable("the index does not say any more what it is")
    store.set_identity(identity)
    if collection is None or not store.exists(collection):
        return
    # One collection can be broken while others work: only a write to that collection shows it.
    ids, _ = store.vectors(collection, None, 1)
    rows = store.rows(collection, ids)
    store.write(collection, Writes(joined={event_id: row.outcome for event_id, row in rows.items()}))
