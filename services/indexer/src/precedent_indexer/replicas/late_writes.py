"""Repair after a late write: the log is read again from the watermark at which the next writer started.

This happens each time an earlier writer records that one of its requests ended after its lease had expired; and once
for a writer that did not end in good order, when all its requests must have timed out.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from precedent_indexer.domain.writers import WriterHistory
from precedent_indexer.errors import Fault
from precedent_indexer.index.watermark import Progress
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.runtime.threads import Workers

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0


class Registry(Protocol):
    """The registry of writers that is stored with the index."""

    def read(self) -> WriterHistory:
        """The writers' terms, and the identity of the index."""

    def set_late(self, token: int, *, late: bool) -> None:
        """Note whether a writer may have finished a request after its time."""


class LateWriteRepair:
    """Repairs what late writes of other writers may have damaged, for as long as this one writes."""

    def __init__(
        self,
        *,
        service: IndexService,
        registry: Registry,
        progress: Progress,
        workers: Workers,
        token: int,
        sweep: Callable[[], None],
        settle_s: float | None,
    ) -> None:
        """`sweep`: done now and then; `settle_s`: until the last request of the writer before has ended, if it may."""
        self._service = service
        self._registry = registry
        self._progress = progress
        self._workers = workers
        self._token = token
        self._sweep = sweep
        loop = asyncio.get_running_loop()
        self._settled_at = None if settle_s is None else loop.time() + settle_s

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            try:
                await self.look()
            except Fault as error:
                log.debug("mender_waits", error=type(error).__name__)

    async def look(self) -> None:
        """Do what is due.

        Raises:
            Fault: the store fails just now; what was not done is still due.
        """
        history = await self._workers.read(self._registry.read)
        late = history.late_before(self._token)
        if late:
            await self._again_from(min(history.successor_began(one.token) for one in late), "a writer was late")
            for one in late:
                await self._workers.write(self._registry.set_late, one.token, late=False)
        if self._settled_at is not None and asyncio.get_running_loop().time() >= self._settled_at:
            await self._again_from(history.successor_began(self._token - 1), "a writer left without a word")
            self._settled_at = None
        await self._workers.write(self._sweep)

    async def _again_from(self, seq: int, why: str) -> None:
        async with self._service.held():
            before = self._progress.indexed_seq
            if seq < before:
                # At once: from now on no answer claims more.
                self._progress.rewind(seq)
                await self._service.save_watermark(seq)
                log.warning("log_read_again", reason=why, from_seq=seq, indexed_seq=before)
