"""What the index does for itself, unasked: it follows what the log gives up, and rebuilds itself when it has to."""

import asyncio
import time
from typing import Final

import structlog

from precedent_indexer.domain.ports import Log
from precedent_indexer.errors import Fault, QuestionFailed
from precedent_indexer.index.generations import Generation
from precedent_indexer.index.vector_file import drop_inherited
from precedent_indexer.index.watermark import Progress
from precedent_indexer.maintenance.log_gaps import LogGaps
from precedent_indexer.maintenance.rebuild import Rebuilder
from precedent_indexer.maintenance.retention import expire
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.maintenance.settings_watch import SettingsWatch
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.jobs import Jobs
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.jobs import REBUILD

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 2.0
_FIRST_RETRY_S: Final = 30.0
_LAST_RETRY_S: Final = 1_800.0
"""Seconds between two attempts of a rebuild that fails."""


class Housekeeping:
    """Looks at the index again and again."""

    def __init__(
        self,
        *,
        service: IndexService,
        source: Log,
        progress: Progress,
        workers: Workers,
        jobs: Jobs,
        rebuilder: Rebuilder,
        scrub_after_s: float,
        metrics: Metrics,
        gaps: LogGaps | None = None,
        settings: SettingsWatch | None = None,
    ) -> None:
        """`scrub_after_s`: seconds that deleted text may stay in the files; 0: until a rebuild is ordered."""
        self._service = service
        self._source = source
        self._progress = progress
        self._workers = workers
        self._jobs = jobs
        self._rebuilder = rebuilder
        self._scrub_after_s = scrub_after_s
        self._metrics = metrics
        self._gaps = gaps
        self._settings = settings
        self._looked_at: Generation | None = None
        self._read_when: int = 0
        self._log_begins_at = 0
        self._retry_s = _FIRST_RETRY_S
        self._retry_at = 0.0

    async def run(self) -> None:
        """Look after the index until cancelled."""
        while True:
            try:
                await self.look()
            except Fault as error:
                # Waited out where it matters: here it only means to look again later.
                log.debug("upkeep_waits", error=type(error).__name__)
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Do what is due.

        Raises:
            Fault: the log or the store fails just now.
        """
        if self._settings is not None:
            await self._settings.look()
        index = self._service.index
        log_state = await self._source.state()
        if index is not self._looked_at:
            self._looked_at, self._log_begins_at = index, 0
            self._read_when = log_state.last_seq
        if self._jobs.current is None:
            self._rebuild_if_due(index)
        if log_state.first_seq > self._log_begins_at:
            expired = await expire(self._workers, index.store, index.vectors, log_state.first_seq)
            self._metrics.events_removed.labels("expired").inc(expired)
            self._log_begins_at = log_state.first_seq
        if self._gaps is not None:
            self._metrics.events_removed.labels("left_the_log").inc(await self._gaps.follow(log_state))
        if self._progress.indexed_seq >= self._read_when:
            await self._workers.write(drop_inherited, index.vectors)

    def _rebuild_if_due(self, index: Generation) -> None:
        reason = self._reason(index)
        if reason is None:
            self._retry_s = _FIRST_RETRY_S
        elif time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + self._retry_s
            self._retry_s = min(2 * self._retry_s, _LAST_RETRY_S)
            try:
                self._jobs.start(REBUILD, self._rebuilder.because(reason))
            except QuestionFailed:
                log.debug("rebuild_not_begun", reason=reason)

    def _reason(self, index: Generation) -> str | None:
        """Why the index should be rebuilt now."""
        if index.outdated is not None:
            return index.outdated
        if index.store.symptoms.disk_was_full:
            return "the disk was full: what its files hold is uncertain"
        age = index.deleted_text.age_s()
        if self._scrub_after_s and age is not None and age >= self._scrub_after_s:
            return f"its files may hold what was deleted more than {self._scrub_after_s:g} s ago"
        return None
