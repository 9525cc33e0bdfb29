"""How much of the log the index covers, and who waits for more of it."""

import asyncio
from collections import OrderedDict
from typing import Final

from precedent_indexer.domain.messages import Refusal

_REMEMBERED_REFUSALS: Final = 10_000


class Progress:
    """The watermark in memory: every message up to `indexed_seq` is applied."""

    def __init__(self, indexed_seq: int) -> None:
        self.indexed_seq = indexed_seq
        self._advanced = asyncio.Event()
        self._prepared_seq = indexed_seq
        self._prepared = asyncio.Event()
        self._ending = False
        self._refusals: OrderedDict[int, Refusal] = OrderedDict()

    def advance(self, seq: int) -> None:
        """Everything up to `seq` is applied."""
        self.prepare(seq)
        if seq > self.indexed_seq:
            self.indexed_seq = seq
            # Waiters of this moment are woken; those that need more wait on the next event.
            self._advanced.set()
            self._advanced = asyncio.Event()

    def prepare(self, seq: int) -> None:
        """Everything up to `seq` is embedded, and about to be stored."""
        if seq > self._prepared_seq:
            self._prepared_seq = seq
            self._prepared.set()
            self._prepared = asyncio.Event()

    def rewind(self, seq: int) -> None:
        """Some of what lies behind `seq` is not applied any more: only while nothing is taken from the log."""
        self.indexed_seq = min(self.indexed_seq, seq)

    def refuse(self, seq: int, refusal: Refusal) -> None:
        """Remember why one message became a dead letter, for whoever waits for just that one."""
        self._refusals[seq] = refusal
        if len(self._refusals) > _REMEMBERED_REFUSALS:
            self._refusals.popitem(last=False)

    def refusal(self, seq: int) -> Refusal | None:
        """Why the message with this sequence became a dead letter, if it did."""
        return self._refusals.get(seq)

    def forget(self, seq: int) -> None:
        """The dead letter of this message is no more."""
        self._refusals.pop(seq, None)

    def let_go(self) -> None:
        """The process is about to end: whoever waits is told at once how far the index is."""
        self._ending = True
        self._advanced.set()

    async def embedded(self, seq: int) -> None:
        """Wait until everything up to `seq` is embedded."""
        while self._prepared_seq < seq:
            await self._prepared.wait()

    async def reach(self, seq: int, wait_s: float) -> bool:
        """Wait until the index covers `seq`, at most `wait_s` seconds; whether it does."""
        try:
            async with asyncio.timeout(wait_s):
                while self.indexed_seq < seq:
                    if self._ending:
                        return False
                    await self._advanced.wait()
        except TimeoutError:
            return False
        return True
