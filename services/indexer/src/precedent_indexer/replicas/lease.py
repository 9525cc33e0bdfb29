"""One of several replicas writes: by a lease that it renews, and that another takes over once it is not renewed.

The lease is one entry in a bucket, changed by compare-and-set alone. No two clocks are compared: a waiting replica
takes the lease after it has seen the entry unchanged for its whole life, by its own clock. The holder counts from
before its last renewal request, and stops a margin earlier. Each replica that takes the lease raises the token.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from precedent_indexer.domain.writers import Claim, Entry
from precedent_indexer.errors import BusUnavailable, LeaseLost, Outrun, StoreUnavailable

log = structlog.get_logger(__name__)

_RENEW_SHARE: Final = 1 / 3
"""Of its life, after which a lease is renewed."""
_RETRY_SHARE: Final = 1 / 10
"""Of its life, after which a renewal that got no answer is tried again."""
_MARGIN_SHARE: Final = 1 / 10
"""Of its life, that its holder gives away at the end: clocks do not run equally fast."""


def elapsed_s() -> float:
    """Seconds on a clock that cannot be set, and that continues while the machine sleeps, if the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """The lease, as one replica sees it; a `domain.writers.Fence`."""

    def __init__(self, entry: Entry, holder: str, ttl_s: float, clock: Callable[[], float] = elapsed_s) -> None:
        """`holder`: a name that is unique to this run of this process."""
        self._entry = entry
        self._clock = clock
        self._own = Claim(0, holder, ttl_s)
        self._revision = 0
        self._until = float("-inf")
        self._unchanged_since = clock()
        self.seen: Claim | None = None
        """The entry as it was last read."""

    @property
    def token(self) -> int:
        """The fencing token of this replica, once it has the lease."""
        return self._own.token

    @property
    def holds(self) -> bool:
        """Whether it is certain that no other replica has the lease."""
        return self._clock() < self._until

    def check(self) -> None:
        """Raises StoreUnavailable if the lease may have expired."""
        if not self.holds:
            raise StoreUnavailable("the lease to write the index was not renewed in time")

    async def attempt(self, highest_token: int, *, vacant: bool) -> bool:
        """Take the lease if no replica has it.

        Args:
            highest_token: that the index knows of; the new one is higher, also where the bucket was lost.
            vacant: the index says that there is no writer, so that a missing entry need not be waited for.

        Raises:
            BusUnavailable: the bucket cannot be read or written.
        """
        claim, revision = await self._entry.read()
        if claim != self.seen or revision != self._revision:
            self.seen, self._revision, self._unchanged_since = claim, revision, self._clock()
        free = vacant if claim is None else not claim.holder
        life_s = self._own.ttl_s if claim is None else claim.ttl_s
        if not free and self._clock() - self._unchanged_since < life_s:
            return False
        known = claim.token if claim is not None else 0
        own = replace(self._own, token=max(known, highest_token) + 1, index=claim.index if claim is not None else None)
        asked = self._clock()
        try:
            self._revision = await self._entry.put(own, revision)
        except Outrun:
            return False
        self._own = self.seen = own
        self._renewed(asked)
        log.info("lease_taken", token=own.token, before=claim.holder if claim is not None else None)
        return True

    def names(self, index: str) -> bool:
        """Whether `index` is the one that the lease named when it was last read."""
        return self.seen is not None and self.seen.index == index

    async def name_index(self, index: str) -> None:
        """Note which index is written."""
        self._own = replace(self._own, index=index)
        await self._renew()

    async def keep(self) -> None:
        """Renew the lease until cancelled.

        Raises:
            LeaseLost: another replica has the lease.
        """
        pause_s = self._own.ttl_s * _RENEW_SHARE
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self._renew()
                pause_s = self._own.ttl_s * _RENEW_SHARE
            except BusUnavailable as error:
                log.warning("lease_not_renewed", token=self.token, holds=self.holds, error=type(error).__name__)
                pause_s = self._own.ttl_s * _RETRY_SHARE

    async def release(self) -> None:
        """Release the lease, so that another replica can take it at once."""
        self._until = float("-inf")
        try:
            await self._entry.put(replace(self._own, holder=""), self._revision)
        except (Outrun, BusUnavailable):
            log.warning("lease_not_released", token=self.token)

    async def _renew(self) -> None:
        while True:
            asked = self._clock()
            try:
                self._revision = await self._entry.put(self._own, self._revision)
            except Outrun as error:
                claim, self._revision = await self._entry.read()
                if claim is None or (claim.token, claim.holder) != (self._own.token, self._own.holder):
                    self._until = float("-inf")
                    raise LeaseLost(
                        f"another replica writes the index, by token {claim.token if claim else 'unknown'}; "
                        f"this one had {self.token}, and leaves: started again, it answers beside it"
                    ) from error
                # Our own renewal, whose reply was lost. Renew again: the time of its arrival is unknown.
            else:
                self._renewed(asked)
                return

    def _renewed(self, asked: float) -> None:
        self._until = asked + self._own.ttl_s * (1 - _MARGIN_SHARE)
