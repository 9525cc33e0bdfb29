"""The watchdog of the store in use: if the store fails repeatedly, it is probed, then reopened or rebuilt.

If the directory of the generation is gone, another generation begins.
"""

import asyncio
import contextlib
from typing import Final

import structlog

from precedent_indexer.domain.ports import Log, Probe
from precedent_indexer.errors import Fault, IndexBroken
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.watermark import Progress
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.runtime.threads import Workers

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 1.0
_TIMES: Final = 5
_FOR_S: Final = 10.0
"""One thing must have failed so many times in a row, for so many seconds."""
_PATIENCE_S: Final = 5.0
"""Seconds that questions to the failing store may still take."""


class StoreWatchdog:
    """Looks at the index again and again."""

    def __init__(
        self,
        *,
        service: IndexService,
        generations: GenerationStore,
        source: Log,
        progress: Progress,
        workers: Workers,
        probe: Probe,
    ) -> None:
        self._service = service
        self._generations = generations
        self._source = source
        self._progress = progress
        self._workers = workers
        self._probe = probe
        self._shut = False

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            StartRefused: the directory is gone, and no other can be had in its place.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Mend the index where its directory is gone, or its store has failed for long.

        Not where only its disk is full, which nothing here can mend.

        Raises:
            StartRefused: as `run`.
        """
        index = self._service.index
        symptoms = index.store.symptoms
        failing = symptoms.last(_TIMES, _FOR_S) and not symptoms.disk_is_full
        if not (failing or self._shut or await asyncio.to_thread(index.is_gone)) or self._service.is_rebuilding:
            return
        try:
            async with self._service.held():
                await self._repair(self._service.index)
        except (Fault, IndexBroken, OSError) as error:
            log.error("index_not_mended", error=type(error).__name__, detail=str(error)[:300], retry_in_s=_LOOK_EVERY_S)

    async def _repair(self, old: Generation) -> None:
        log_state = await self._source.state()
        idle = self._service.refuse_questions()
        self._shut = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await idle()
        await self._workers.write(old.store.close)
        if await asyncio.to_thread(old.is_gone):
            broken: str | None = "its directory was deleted or replaced while it was in use"
            await asyncio.to_thread(self._generations.directory.renew)
        else:
            broken = await self._probe(old.path)
        index: Generation | None = None
        if broken is None:
            try:
                index = await asyncio.to_thread(self._generations.reopen, old)
                log.warning("index_reopened", generation=old.path.name)
            except IndexBroken as error:
                broken = str(error)
        if index is None:
            log.error("index_rebuilt", reason=broken, generation=old.path.name)
            old.vectors.close()
            index = await asyncio.to_thread(self._generations.begin, log_state, old.identity.uuid)
            self._progress.rewind(0)
        self._service.take_over(index)
        self._shut = False
