"""Receipts of what waits in an outbox, and the fate that the receipts of one message share."""

import asyncio

from precedent_backend_adapter._transport.event_loops import LoopBound
from precedent_backend_adapter.errors import NotDelivered, NotDeliveredYet
from precedent_backend_adapter.receipts import Receipt


class Fate:
    """What becomes of one message of an outbox, told to everybody who holds a receipt of it."""

    __slots__ = ("__weakref__", "_decided", "_left", "_loop", "_refusal", "receipt")

    def __init__(self) -> None:
        self.receipt: Receipt | None = None
        self._refusal: NotDelivered | None = None
        self._left = False
        self._decided = asyncio.Event()
        self._loop = LoopBound()
        self._loop.check("")

    def waits(self) -> None:
        """It waits for its turn, perhaps once more after it was refused."""
        if self.receipt is None:
            self._refusal = None
            self._decided.clear()

    def delivered(self, receipt: Receipt) -> None:
        """The log has it."""
        self.receipt = receipt
        self._decided.set()

    def refused(self, refusal: NotDelivered) -> None:
        """The log refuses it; it may be delivered later all the same."""
        self._refusal = refusal
        self._decided.set()

    def left(self) -> None:
        """This process does not deliver it any more."""
        self._left = True
        self._decided.set()

    async def decided(self, what: str) -> Receipt:
        """The receipt of the log.

        Raises:
            NotDelivered: it was refused.
            NotDeliveredYet: the client was left before.
        """
        self._loop.check(what)
        while not self._left:
            await self._decided.wait()
            if self.receipt is not None:
                return self.receipt
            if self._refusal is not None:
                raise NotDelivered(str(self._refusal), self._refusal.reason, self._refusal.pending) from self._refusal
        raise NotDeliveredYet(f"{what} stays in the outbox: the client was left; the next one delivers it")


class QueuedReceipt(Receipt):
    """The outbox has it on disk; what the log says of it is there as soon as the log has it."""

    __slots__ = ("_fate",)
    _fate: Fate

    def __init__(self, id: str, collection: str, fate: Fate) -> None:  # noqa: A002 -- the field's name
        object.__setattr__(self, "id", id)
        object.__setattr__(self, "collection", collection)
        object.__setattr__(self, "_fate", fate)

    @property
    def seq(self) -> int:
        """As in `Receipt`, once it is delivered."""
        return self._known().seq

    @property
    def duplicate(self) -> bool:
        """As in `Receipt`, once it is delivered."""
        return self._known().duplicate

    @property
    def is_delivered(self) -> bool:
        """As in `Receipt`."""
        return self._fate.receipt is not None

    async def delivered(self) -> Receipt:
        """As in `Receipt`."""
        return await self._fate.decided(self._what())

    def _known(self) -> Receipt:
        if self._fate.receipt is None:
            remedy = "await receipt.delivered(), or give the receipt itself as `after`"
            raise NotDeliveredYet(f"{self._what()} waits in the outbox and has no sequence yet: {remedy}")
        return self._fate.receipt

    def _what(self) -> str:
        return f"{self.id!r} of {self.collection!r}"

    def __repr__(self) -> str:
        known = repr(self._fate.receipt) if self._fate.receipt is not None else f"{self._what()}, in the outbox"
        return f"{type(self).__name__}({known})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)
