"""Deliveries until they are settled: acknowledged, or terminated if the message is a dead letter.

A delivery is settled once the watermark has passed its message, whether the message came by this delivery, by an
earlier one, or was read from the log directly.
"""

from collections.abc import Iterable, Sequence

from precedent_indexer.domain.ports import Delivery
from precedent_indexer.index.watermark import Progress


class PendingAcks:
    """Deliveries that are not settled yet, by sequence."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._deliveries: dict[int, Delivery] = {}

    def __len__(self) -> int:
        return len(self._deliveries)

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Add new deliveries; of the same message, the last one counts."""
        self._deliveries |= {one.message.seq: one for one in deliveries}

    async def settle(self) -> None:
        """Settle every delivery up to the watermark.

        Raises:
            BusUnavailable: the server is not reached; it delivers again what was not settled.
        """
        covered = self._progress.indexed_seq
        for seq in sorted(seq for seq in self._deliveries if seq <= covered):
            delivery = self._deliveries.pop(seq)
            if self._progress.refusal(seq) is not None:
                await delivery.term()
            else:
                await delivery.ack()

    async def touch(self, waiting: Sequence[Delivery]) -> None:
        """Restart ack_wait of every unsettled delivery, and of those `waiting` to be taken.

        Raises:
            BusUnavailable: the server is not reached.
        """
        for delivery in (*self._deliveries.values(), *waiting):
            await delivery.in_progress()

    async def give_back(self) -> None:
        """Return every unsettled delivery to the server, which delivers it again at once.

        Raises:
            BusUnavailable: the server is not reached.
        """
        while self._deliveries:
            _, delivery = self._deliveries.popitem()
            await delivery.nak()

    def forget(self) -> None:
        """Drop every delivery, since their consumer was deleted."""
        self._deliveries.clear()
