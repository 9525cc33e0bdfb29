"""A rebuild without downtime: a new generation is filled from the log while the old one answers, then takes its place.

An interruption does no harm: the next rebuild continues the unfinished generation. If the rebuild fails, the unfinished
generation is removed, and the old one stays in use.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.ports import DeadLetters, Log, Probe
from precedent_indexer.errors import BusUnavailable, Fault, JobFailed, StoreUnavailable
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.layout import CRASH_JOURNAL
from precedent_indexer.index.log_match import with_watermark
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.crash_journal import CrashJournal
from precedent_indexer.ingest.suspects import SuspectIsolation
from precedent_indexer.maintenance.recall_check import overlap_at_10
from precedent_indexer.maintenance.retention import expire
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.runtime.jobs import ReportProgress, Run
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.jobs import JobReport

log = structlog.get_logger(__name__)

_TOGETHER: Final = 32
"""Messages of one part: the most that the store writes at once, so the most that a question waits for."""
_SMALL: Final = 512
"""Messages that may be left when the switch begins: ingest is paused while they are applied."""
_SAVE_EVERY_S: Final = 1.0
_FIRST_BACKOFF_S: Final = 0.2
_LAST_BACKOFF_S: Final = 10.0


@dataclass(slots=True)
class _Filling:
    """A generation on its way, up to `done`.

    Attributes:
        holds: ingest is paused for it.
    """

    index: Generation
    applier: Applier
    journal: CrashJournal
    suspects: SuspectIsolation
    done: int
    saved_at: float
    holds: bool = False


class Rebuilder:
    """Fills a new generation and switches to it."""

    def __init__(
        self,
        *,
        service: IndexService,
        generations: GenerationStore,
        source: Log,
        dead_letters: DeadLetters,
        progress: Progress,
        workers: Workers,
        probe: Probe,
    ) -> None:
        self._service = service
        self._generations = generations
        self._source = source
        self._dead_letters = dead_letters
        self._progress = progress
        self._workers = workers
        self._probe = probe

    def because(self, reason: str) -> Run:
        """The job that rebuilds the index for this reason."""
        return lambda report: self.run(reason, report)

    async def run(self, reason: str, report: ReportProgress) -> JobReport:
        """Rebuild the index.

        Raises:
            JobFailed: it cannot be; the old generation goes on.
        """
        old = self._service.index
        log.info("rebuild_begun", reason=reason, generation=old.path.name)
        index = await self._begin(old)
        applier, journal = self._service.filler(index), CrashJournal(index.path / CRASH_JOURNAL)
        filling = _Filling(
            index=index,
            applier=applier,
            journal=journal,
            suspects=SuspectIsolation(journal, applier),
            done=index.identity.watermark,
            saved_at=time.monotonic(),
        )
        try:
            await self._fill(filling, report)
            overlap = await self._compare(old, filling, report)
            ended = await self._switch(old, filling, report)
        except asyncio.CancelledError:
            filling.journal.clear()
            raise
        except Exception as error:
            await self._give_up(filling, error)
            raise
        log.info("rebuild_switched", generation=index.path.name, indexed_seq=filling.done, overlap_at_10=overlap)
        await ended()
        await self._workers.write(old.close)
        await asyncio.to_thread(self._generations.directory.drop, old.path)
        return JobReport(
            events=await self._workers.read(_count, index),
            reason=reason,
            overlap_at_10=overlap,
            vectors_reused=filling.applier.reused,
        )

    async def _begin(self, old: Generation) -> Generation:
        for path in self._generations.unfinished(old.identity):
            # A kill at the wrong moment may have left files that crash the process that opens them.
            broken = await self._probe(path)
            if broken is not None:
                log.warning("rebuild_started_over", reason=broken, generation=path.name)
                await asyncio.to_thread(self._generations.directory.drop, path)
        try:
            return await asyncio.to_thread(self._generations.begin_next, old)
        except StoreUnavailable as error:
            raise JobFailed(str(error)) from error

    async def _give_up(self, filling: _Filling, error: Exception) -> None:
        log.error("rebuild_failed", generation=filling.index.path.name, error=type(error).__name__)
        filling.index.vectors.part_with_earlier()
        await self._workers.write(filling.index.close)
        await asyncio.to_thread(self._generations.directory.drop, filling.index.path)

    async def _fill(self, filling: _Filling, report: ReportProgress) -> None:
        """Read the log until little is left; the bus may go away meanwhile."""
        backoff = _FIRST_BACKOFF_S
        while True:
            try:
                target = await self._service.reached()
                await self._read_up_to(filling, target, report)
                if await self._service.reached() - filling.done <= _SMALL:
                    return
                backoff = _FIRST_BACKOFF_S
            except BusUnavailable:
                log.warning("rebuild_waits", done_seq=filling.done, retry_in_s=backoff)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, _LAST_BACKOFF_S)

    async def _read_up_to(self, filling: _Filling, target: int, report: ReportProgress) -> None:
        batch: list[LogMessage] = []
        report("filling", filling.done, target)
        # The dead letters up to `target` are stored by now.
        await self._dead_letters.refresh()
        async for message in self._source.read(filling.done + 1, target):
            batch.append(message)
            if len(batch) == _TOGETHER:
                await self._apply(filling, batch)
                batch = []
                report("filling", filling.done, target)
        await self._apply(filling, batch)
        filling.done = max(filling.done, target)
        await self._save(filling)
        report("filling", filling.done, target)

    async def _apply(self, filling: _Filling, batch: Sequence[LogMessage]) -> None:
        if not batch:
            return
        await self._service.let_questions_pass()
        # What became a dead letter stays one: it must not be in the index as well.
        refused = self._dead_letters.refusals()
        wanted = [message for message in batch if message.seq not in refused]
        if any(filling.journal.suspect(message.seq) for message in wanted):
            # No other message is in flight meanwhile: if the process crashes again, this message is the cause.
            async with contextlib.nullcontext() if filling.holds else self._service.held():
                for message in wanted:
                    await self._apply_alone(filling, message)
        elif wanted:
            filling.journal.take(wanted[0].seq, wanted[-1].seq)
            self._note(await filling.applier.apply(wanted))
        filling.done = batch[-1].seq
        filling.journal.done(filling.done)
        if time.monotonic() - filling.saved_at > _SAVE_EVERY_S:
            await self._save(filling)

    async def _apply_alone(self, filling: _Filling, message: LogMessage) -> None:
        """A message that was in flight when the process crashed may be the cause of the crash."""
        prepared = await filling.suspects.prepare(message, filling.applier.prepare)
        self._note(await filling.applier.commit(prepared))
        filling.journal.done(message.seq)

    def _note(self, refusals: dict[int, Refusal]) -> None:
        for seq, refusal in refusals.items():
            self._progress.refuse(seq, refusal)

    async def _save(self, filling: _Filling) -> None:
        filling.index = replace(filling.index, identity=with_watermark(filling.index.identity, filling.done))
        await self._workers.write(filling.index.store.set_identity, filling.index.identity)
        filling.saved_at = time.monotonic()

    async def _compare(self, old: Generation, filling: _Filling, report: ReportProgress) -> float | None:
        report("comparing", filling.done, filling.done)
        try:
            first_seq = (await self._source.state()).first_seq
            return await overlap_at_10(
                self._workers, self._source, first_seq, filling.done, old.store, filling.index.store
            )
        except Fault as error:
            # The old one may be why this rebuild was begun.
            log.warning("generations_not_compared", error=type(error).__name__)
            return None

    async def _switch(
        self, old: Generation, filling: _Filling, report: ReportProgress
    ) -> Callable[[], Awaitable[object]]:
        """Old answers until here, new ones from here on."""
        while True:
            try:
                async with self._service.held():
                    filling.holds = True
                    report("switching", filling.done, await self._service.reached())
                    await self._read_up_to(filling, await self._service.reached(), report)
                    await self._expire(filling.index)
                    await self._workers.write(_adopt_collections, old, filling.index)
                    self._generations.finish(filling.index)
                    return self._service.take_over(filling.index)
            except BusUnavailable:
                # Ingest continues meanwhile: it waits for the bus by itself.
                filling.holds = False
                await self._fill(filling, report)

    async def _expire(self, index: Generation) -> None:
        """What left the log while the generation was filled."""
        await expire(self._workers, index.store, index.vectors, (await self._source.state()).first_seq)


def _count(index: Generation) -> int:
    return sum(index.store.count(collection) for collection in index.store.collections())


def _adopt_collections(old: Generation, new: Generation) -> None:
    """A collection stays, also where nothing is left in it."""
    try:
        collections = old.store.collections()
    except StoreUnavailable:
        return
    for collection in collections:
        new.store.create(collection)
