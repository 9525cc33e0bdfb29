"""How far an index is behind its log: what a load beside it waits for, and when nothing moves any more."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import nats.errors

from harness.wire import AnsweredWithError

_ANSWER_S: Final = 5.0


class StandstillError(AssertionError):
    """The index is behind the log, and does not move."""


class Lag:
    """Asks for `indexed_seq` again and again, while `watch` runs.

    Args:
        ask: for the stats of the service; it may fail.
        acknowledged: the last sequence of the log that the index must reach.
        ahead: sequences that may be acknowledged and not indexed before `room` waits.
        patience: seconds without a change of `indexed_seq` after which an index that is behind stands still.
        interval: seconds between two questions.
    """

    def __init__(
        self,
        ask: Callable[[], Awaitable[dict[str, Any]]],
        acknowledged: Callable[[], int],
        *,
        ahead: int,
        patience: float,
        interval: float = 0.5,
    ) -> None:
        self._ask = ask
        self._acknowledged = acknowledged
        self._ahead = ahead
        self._patience = patience
        self._interval = interval
        self._asked = asyncio.Condition()
        self._waiting: deque[tuple[int, float]] = deque()
        self.stats: dict[str, Any] = {}
        """The last answer."""
        self.longest_s = 0.0
        """How long an acknowledged message waited at most until the index covered it."""

    @property
    def indexed_seq(self) -> int:
        """As it was said last."""
        return int(self.stats.get("indexed_seq", 0))

    @property
    def behind(self) -> int:
        """Sequences that are acknowledged and not indexed."""
        return max(0, self._acknowledged() - self.indexed_seq)

    @property
    def caught_up(self) -> bool:
        """Whether there is room for more."""
        return self.behind <= self._ahead

    async def room(self) -> None:
        """Wait until the index has caught up: who publishes so, runs ahead of it by a bounded number."""
        async with self._asked:
            await self._asked.wait_for(lambda: self.caught_up)

    async def watch(self) -> NoReturn:
        """Ask until cancelled.

        Raises:
            StandstillError: the index is behind, and does not move.
        """
        moved_at = time.monotonic()
        while True:
            before = self.indexed_seq
            # Nobody answers while something is down.
            with contextlib.suppress(TimeoutError, AnsweredWithError, nats.errors.Error):
                async with asyncio.timeout(_ANSWER_S):
                    self.stats = await self._ask()
            now = time.monotonic()
            if self.indexed_seq != before or not self.behind:
                moved_at = now
            if now - moved_at > self._patience:
                where = f"at {self.indexed_seq}, {self.behind} behind the log"
                raise StandstillError(f"the index has not moved for {now - moved_at:.0f} s: it is {where}")
            self._measure(now)
            async with self._asked:
                self._asked.notify_all()
            await asyncio.sleep(self._interval)

    def _measure(self, now: float) -> None:
        self._waiting.append((self._acknowledged(), now))
        while self._waiting and self._waiting[0][0] <= self.indexed_seq:
            self._waiting.popleft()
        if self._waiting:
            self.longest_s = max(self.longest_s, now - self._waiting[0][1])
