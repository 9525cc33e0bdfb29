"""A batch cannot be stored: is one of its messages to blame, or the store itself?

Each message is stored by itself. One that fails while the store takes everything else is refused; where the store
fails as well, it is a fault of the store, and nobody is refused for it.
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
"""Seconds between two tries of one message: a hitch of the store must not cost an event."""


class PoisonIsolation:
    """Stores operations one by one, and finds out who is to blame where one fails."""

    def __init__(self, store: VectorStore, workers: Workers) -> None:
        self._store = store
        self._workers = workers

    async def each(
        self, operations: Sequence[Operation], store_one: Callable[[Operation], Awaitable[None]]
    ) -> dict[int, Refusal]:
        """Do `store_one` with each of `operations`, in their order; what cannot be stored, by sequence.

        Raises:
            StoreUnavailable: the store fails whatever it is given.
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
        """The kind of the failure that stays, however often it is tried."""
        failure = None
        for _ in range(_TRIES):
            try:
                await store_one(one)
            except BusUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 -- whatever the store raises over one message
                failure = type(error.__cause__ or error).__name__
                log.warning("message_not_stored", seq=one.seq, error=failure)
                await self.probe(one.collection)
                await asyncio.sleep(_BETWEEN_TRIES_S)
            else:
                return None
        return failure

    async def probe(self, collection: str | None = None) -> None:
        """Make sure that the store works, and this collection in it: read and write what changes nothing.

        Raises:
            StoreUnavailable: it does not.
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
    # A collection can be broken while others work: only a write to itself shows it.
    ids, _ = store.vectors(collection, None, 1)
    rows = store.rows(collection, ids)
    store.write(collection, Writes(joined={event_id: row.outcome for event_id, row in rows.items()}))
