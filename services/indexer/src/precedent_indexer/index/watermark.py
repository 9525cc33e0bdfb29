"""The watermark in memory: how much of the log the index covers, and the callers that wait for more."""

import asyncio
from collections import OrderedDict
from typing import Final

from precedent_indexer.domain.messages import Refusal

_REMEMBERED_REFUSALS: Final = 10_000


class Progress:
    """Every message up to `indexed_seq` is applied."""

    def __init__(self, indexed_seq: int) -> None:
        self.indexed_seq = indexed_seq
        self._advanced = asyncio.Event()
        self._prepared_seq = indexed_seq
        self._prepared = asyncio.Event()
        self._ending = False
        self._refusals: OrderedDict[int, Refusal] = OrderedDict()

    def advance(self, seq: int) -> None:
        """Note that every message up to `seq` is applied."""
        self.prepare(seq)
        if seq > self.indexed_seq:
            self.indexed_seq = seq
            # Wakes the current waiters; those that need more wait on the new event.
            self._advanced.set()
            self._advanced = asyncio.Event()

    def prepare(self, seq: int) -> None:
        """Note that every message up to `seq` is embedded, and will be stored next."""
        if seq > self._prepared_seq:
            self._prepared_seq = seq
            self._prepared.set()
            self._prepared = asyncio.Event()

    def rewind(self, seq: int) -> None:
        """Move the watermark back to `seq`, to apply later messages again; only while ingest is paused."""
        self.indexed_seq = min(self.indexed_seq, seq)

    def refuse(self, seq: int, refusal: Refusal) -> None:
        """Remember why one message became a dead letter, for a caller that waits for this message."""
        self._refusals[seq] = refusal
        if len(self._refusals) > _REMEMBERED_REFUSALS:
            self._refusals.popitem(last=False)

    def refusal(self, seq: int) -> Refusal | None:
        """Why the message with this sequence became a dead letter; None if it did not."""
        return self._refusals.get(seq)

    def forget(self, seq: int) -> None:
        """Forget the refusal of a message whose dead letter was removed."""
        self._refusals.pop(seq, None)

    def let_go(self) -> None:
        """Wake every waiter, since the process is about to end."""
        self._ending = True
        self._advanced.set()

    async def embedded(self, seq: int) -> None:
        """Wait until every message up to `seq` is embedded."""
        while self._prepared_seq < seq:
            await self._prepared.wait()

    async def reach(self, seq: int, wait_s: float) -> bool:
        """Wait at most `wait_s` seconds until the index covers `seq`; whether it does."""
        try:
            async with asyncio.timeout(wait_s):
                while self.indexed_seq < seq:
                    if self._ending:
                        return False
                    await self._advanced.wait()
        except TimeoutError:
            return False
        return True
