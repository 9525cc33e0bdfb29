"""A client that needs no server, for the tests of a backend.

`InMemoryPrecedent` keeps the promises of the real one: the same checks, ids, receipts, revisions, outcomes,
filters and errors. Two things differ: what is published is indexed at once, and similarity counts shared words
(the cosine of their counts; see `similarity`) instead of comparing meaning.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel

from precedent_backend_adapter._in_memory.answers import Answers
from precedent_backend_adapter._in_memory.bag_of_words import similarity
from precedent_backend_adapter._in_memory.log_and_index import Memory
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._publishing.queued import Fate, QueuedReceipt
from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter.config import OutboxConfig, Timeouts
from precedent_backend_adapter.errors import DeliveryUnknown, NotDelivered, NotDeliveredReason, PrecedentError
from precedent_backend_adapter.interface import PrecedentClient
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.codec import decode, encode

__all__ = ["InMemoryPrecedent", "similarity"]

Reply = TypeVar("Reply", bound=BaseModel)


class InMemoryPrecedent(PrecedentClient):
    """A `PrecedentClient` in memory, empty at first; failures can be asked for.

    Use it as it is, or as `async with InMemoryPrecedent() as precedent`.

    Args:
        outbox: behave as a client with an outbox, which keeps what is published while it is held.
    """

    def __init__(self, *, outbox: bool = False) -> None:
        self._memory = Memory()
        self._answers = Answers(self._memory)
        self._failures: deque[PrecedentError] = deque()
        self._lose_ack = False
        self._full = False
        self._outbox: deque[tuple[Publication, Fate]] | None = deque() if outbox else None
        self._held = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._question_timeout = Timeouts().question

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What waits in the outbox is lost with everything else."""
        for _, fate in self._outbox or ():
            fate.left()

    # -- failures on demand

    def fail_next(self, error: PrecedentError) -> None:
        """Have the next call that would reach the bus raise `error` and do nothing; several wait in line."""
        self._failures.append(error)

    def lose_next_ack(self) -> None:
        """Have the next publish be stored and raise DeliveryUnknown, as when the acknowledgement is lost."""
        self._lose_ack = True

    def fill_log(self, *, full: bool = True) -> None:
        """Have every publish raise NotDelivered with the reason `log_full`, until it is called with False."""
        self._full = full

    def hold_outbox(self, *, held: bool = True) -> None:
        """Have the outbox deliver nothing, as without a connection, until it is called with False."""
        self._held = held
        self._deliver()

    def publish_raw(self, subject: str, payload: bytes, headers: Mapping[str, str] | None = None) -> int:
        """Put a message into the log as any other publisher would, unchecked; it may become a dead letter.

        Returns:
            Its sequence.
        """
        return self._memory.append(subject, payload, headers or {}).seq

    # -- the outbox

    async def outbox_status(self) -> OutboxStatus | None:
        """What waits there."""
        if self._outbox is None:
            return None
        total = sum(size(one.payload, one.headers) for one, _ in self._outbox)
        fault = "it is held" if self._held else None
        bounds = OutboxConfig(path="in memory")
        return OutboxStatus(
            str(bounds.path), len(self._outbox), 0, total, bounds.max_events, bounds.max_bytes, fault=fault
        )

    async def flush(self) -> None:
        """Wait until it is no longer held."""
        await self._drained.wait()

    def _deliver(self) -> None:
        while self._outbox and not self._held:
            publication, fate = self._outbox.popleft()
            ack = self._memory.append(publication.subject, publication.payload, publication.headers)
            fate.delivered(Receipt(publication.id, publication.collection, ack.seq, ack.duplicate))
        if not self._outbox:
            self._drained.set()

    # -- the two ends

    async def _send(self, publication: Publication) -> Receipt:
        self._fail()
        if self._outbox is not None:
            fate = Fate()
            self._outbox.append((publication, fate))
            self._drained.clear()
            self._deliver()
            return QueuedReceipt(publication.id, publication.collection, fate)
        what = f"{publication.id!r} of {publication.collection!r}"
        if self._full:
            raise NotDelivered(f"{what} is not in the log: it is full", NotDeliveredReason.LOG_FULL, publication)
        ack = self._memory.append(publication.subject, publication.payload, publication.headers)
        if self._lose_ack:
            self._lose_ack = False
            raise DeliveryUnknown(f"{what} may or may not be in the log: no acknowledgement", publication)
        return Receipt(publication.id, publication.collection, ack.seq, ack.duplicate)

    async def _ask(
        self, endpoint: Endpoint, collection: str | None, request: BaseModel, reply: type[Reply], seconds: float
    ) -> Reply:
        del seconds  # everything here happens at once
        self._fail()
        # Through bytes, as on the wire: callers get their own copy.
        return decode(reply, encode(self._answers.of(endpoint, collection, request)))

    def _fail(self) -> None:
        if self._failures:
            raise self._failures.popleft()
