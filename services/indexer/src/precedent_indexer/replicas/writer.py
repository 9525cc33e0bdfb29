"""The replica that has the lease: a whole indexer over the index in a Chroma server, until it ends or loses it."""

import asyncio
import contextlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import structlog

from precedent_indexer.adapters.chroma.probe import probe_server
from precedent_indexer.adapters.chroma.server import REQUEST_TIMEOUT_S, ChromaServer
from precedent_indexer.adapters.chroma.shared_generations import ServedGenerations
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.adapters.nats.streams import ensure_consumer, orphaned_index
from precedent_indexer.api.server import Door
from precedent_indexer.app.active_index import Outside, Serving
from precedent_indexer.app.endpoint import Reception
from precedent_indexer.app.models import Models
from precedent_indexer.domain.writers import Account, Tenure
from precedent_indexer.errors import Fault, Stalled
from precedent_indexer.index.generations import OpenedIndex, Shelf
from precedent_indexer.index.opening import open_index
from precedent_indexer.replicas.follower import LOOK_EVERY_S, Follower
from precedent_indexer.replicas.forwarding import take_forwarded, writers_subject
from precedent_indexer.replicas.late_writes import Mender
from precedent_indexer.replicas.lease import Lease
from precedent_indexer.runtime.shutdown import SOFT_STOP_S, within
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

_REMEMBERED: Final = 100
"""Writers in the books: a request of one before them would have to be under way still."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a replica has, whether it follows or writes.

    Attributes:
        notes: directory of what it keeps for itself.
    """

    settings: Settings
    notes: Path
    bus: Bus
    source: JetStreamLog
    dead_letters: JetStreamDeadLetters
    workers: Workers
    models: Models
    server: ChromaServer
    lease: Lease


class Writer:
    """From the moment that the lease is taken."""

    def __init__(self, means: Means, left: Account) -> None:
        """`left`: the index as the writer before has left it."""
        self._means = means
        self._left = left
        self._generations = ServedGenerations(means.notes, means.server, means.lease)
        self._shelf = Shelf(self._generations, self._generations.open, means.models.installed.model, means.models.files)

    async def write(
        self, reception: Reception, follower: Follower, keeping: asyncio.Task[None], told: set[asyncio.Future[Any]]
    ) -> int:
        """Index and answer until one of `told` is done; the exit code.

        Args:
            reception: where questions come in.
            follower: that the questions before are answered by.
            keeping: renews the lease.
            told: what ends the process in good order.

        Raises:
            LeaseLost: another replica writes.
            StartRefused, Stalled: as `Serving.follow`.
        """
        means = self._means
        serving = Serving(self._outside(), await self._open())
        mender = self._mender(serving)
        await serving.feed.start()
        await means.bus.subscribe(writers_subject(means.lease.token), partial(take_forwarded, serving.door))
        before = await reception.lead_to(serving.door, serving.index.identity.uuid)
        log.info(
            "writing",
            token=means.lease.token,
            indexed_seq=serving.progress.indexed_seq,
            index=serving.index.identity.uuid,
        )
        ingesting = asyncio.create_task(serving.follow())
        working = [asyncio.create_task(one.run()) for one in (serving.guard, serving.upkeep, serving.observer, mender)]
        seeing_off = asyncio.create_task(_see_off(before, follower))
        await asyncio.wait({ingesting, keeping, *working, *told}, return_when=asyncio.FIRST_COMPLETED)
        failures = (one.exception() for one in (keeping, ingesting, *working) if one.done())
        failure = next((one for one in failures if one is not None), None)
        if failure is not None:
            log.error("leaving", error=type(failure).__name__, detail=str(failure)[:300])
        for one in (seeing_off, *working):
            one.cancel()
        serving.stop()
        soft = await within(
            SOFT_STOP_S,
            means.bus.stop_taking,
            serving.jobs.stop,
            lambda: asyncio.wait({ingesting, *working}),
            reception.drain,
            serving.feed.stop,
        )
        if not soft:
            ingesting.cancel()
            log.warning("stopped_hard", after_s=SOFT_STOP_S)
        elif means.lease.holds and not isinstance(failure, Stalled):
            await self._leave(serving)
        if failure is not None:
            raise failure
        log.info("stopped")
        return 1 if means.bus.closed.done() else 0

    async def _open(self) -> OpenedIndex:
        means = self._means
        books, token = means.server.books, means.lease.token
        self._generations.tidy()
        since = self._left.identity.watermark if self._left.identity is not None else 0
        # Before anything is written: whoever comes next must know that this one may be late.
        await means.workers.write(books.keep_tenure, Tenure(token, since))
        log_state = await means.source.state()
        index = await open_index(self._shelf, means.source, log_state, None, await self._index_uuid())
        # By this token: what an earlier writer says of it from now on does not count.
        await means.workers.write(books.use, token, index.path.name)
        await means.workers.write(index.store.set_identity, index.identity)
        await means.workers.write(books.forget_writers, token - _REMEMBERED)
        await ensure_consumer(means.bus, index_uuid=index.identity.uuid, after_seq=index.identity.watermark)
        # Others answer from it from now on: the log is read for this index, and for no other.
        await means.lease.name_index(index.identity.uuid)
        return index

    async def _index_uuid(self) -> str | None:
        """The name of the index, also of one that Chroma has lost: replicas and the consumer go by it."""
        seen = self._means.lease.seen
        if seen is not None and seen.index is not None:
            return seen.index
        return self._left.identity.uuid if self._left.identity is not None else await orphaned_index(self._means.bus)

    def _outside(self) -> Outside:
        means = self._means
        return Outside(
            settings=means.settings,
            bus=means.bus,
            source=means.source,
            dead_letters=means.dead_letters,
            workers=means.workers,
            models=means.models,
            shelf=self._shelf,
            metrics=means.models.metrics,
            probe=self._probe,
            saves_each=True,
        )

    def _mender(self, serving: Serving) -> Mender:
        means = self._means
        return Mender(
            service=serving,
            books=means.server.books,
            progress=serving.progress,
            workers=means.workers,
            token=means.lease.token,
            sweep=self._generations.sweep,
            settle_s=None if self._left.was_left() else REQUEST_TIMEOUT_S,
        )

    async def _probe(self, generation: Path) -> str | None:
        return await self._means.workers.read(probe_server, self._means.server, generation.name)

    async def _leave(self, serving: Serving) -> None:
        """Nothing is under way any more: the next may begin at once."""
        await asyncio.get_running_loop().run_in_executor(None, serving.close)
        books, lease = self._means.server.books, self._means.lease
        with contextlib.suppress(Fault):
            account = await asyncio.to_thread(books.read)
            own = next(one for one in account.tenures if one.token == lease.token)
            await asyncio.to_thread(books.keep_tenure, replace(own, ended=True))
            await lease.release()


async def _see_off(door: Door | None, follower: Follower) -> None:
    """Let those who asked before have their answers: some wait for the index to advance."""
    if door is None:
        return
    drained = asyncio.create_task(door.drain())
    while not (await asyncio.wait({drained}, timeout=LOOK_EVERY_S))[0]:
        with contextlib.suppress(Fault):
            await follower.look()
