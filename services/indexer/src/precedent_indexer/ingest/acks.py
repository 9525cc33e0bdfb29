"""Deliveries from their arrival until they are settled: acknowledged, or terminated where they are dead letters.

What settles a delivery is the watermark, however its message came into the index: by this delivery, by an earlier one,
or read from the log directly.
"""

from collections.abc import Iterable, Sequence

from precedent_indexer.domain.ports import Delivery
from precedent_indexer.index.watermark import Progress


class PendingAcks:
    """What the server waits to hear of."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._deliveries: dict[int, Delivery] = {}

    def __len__(self) -> int:
        return len(self._deliveries)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """These have arrived; of the same message, the last one counts."""
        self._deliveries |= {one.message.seq: one for one in deliveries}

    async def settle(self) -> None:
        """Tell the server of all that the index covers.

        Raises:
            BusUnavailable: it cannot be told; what it does not hear of, it delivers again.
        """
        covered = self._progress.indexed_seq
        for seq in sorted(seq for seq in self._deliveries if seq <= covered):
            delivery = self._deliveries.pop(seq)
            if self._progress.refusal(seq) is not None:
                await delivery.term()
            else:
                await delivery.ack()

    async def touch(self, waiting: Sequence[Delivery]) -> None:
        """Tell the server that all the others, and those `waiting` to be handed out, are still being worked on.

        Raises:
            BusUnavailable: it cannot be told.
        """
        for delivery in (*self._deliveries.values(), *waiting):
            await delivery.in_progress()

    async def give_back(self) -> None:
        """Tell the server that none of them will be worked on here.

        Raises:
            BusUnavailable: it cannot be told.
        """
        while self._deliveries:
            _, delivery = self._deliveries.popitem()
            await delivery.nak()

    def forget(self) -> None:
        """The consumer that delivered them is no more."""
        self._deliveries.clear()
