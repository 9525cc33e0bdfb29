"""Streams and consumer are the operator's to edit while the indexer runs: what then contradicts a promise is said."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from precedent_indexer.index.liveness import Liveness

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
_MOST_SHOWN: Final = 5


class SettingsWatch:
    """Compares the settings on the server with the contract, now and then."""

    def __init__(
        self,
        changed: Callable[[], Awaitable[list[str]]],
        liveness: Liveness,
        clock: Callable[[], float] = time.monotonic,
        expiring: Callable[[], list[str]] = list,
    ) -> None:
        """`changed`: what contradicts the contract by now, `expiring`: which files of ours end soon, one line each."""
        self._expiring = expiring
        self._warned: set[str] = set()
        self._changed = changed
        self._liveness = liveness
        self._clock = clock
        self._again_at = 0.0
        self._said: list[str] = []

    async def look(self) -> None:
        """Note what has changed, where it is time to look.

        Raises:
            Fault: the server cannot be asked just now.
        """
        if self._clock() < self._again_at:
            return
        self._again_at = self._clock() + _LOOK_EVERY_S
        for line in await asyncio.to_thread(self._expiring):
            if line not in self._warned:
                self._warned.add(line)
                log.warning("credentials_expire", detail=line)
        found = await self._changed()
        if found == self._said:
            return
        for one in found:
            if one not in self._said:
                log.error("settings_changed", detail=one)
        if not found:
            log.info("settings_restored")
        self._said = found
        more = f"; and {len(found) - _MOST_SHOWN} more, in the log" if len(found) > _MOST_SHOWN else ""
        self._liveness.contradiction = "; ".join(found[:_MOST_SHOWN]) + more if found else None
