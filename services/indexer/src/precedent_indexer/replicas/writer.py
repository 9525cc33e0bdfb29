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
from precedent_indexer.adapters.chroma.shared_generations import SharedGenerations
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.api.server import QueryServer
from precedent_indexer.app.active_index import ActiveIndex, Dependencies
from precedent_indexer.app.endpoint import ServiceEndpoint
from precedent_indexer.app.models import Models
from precedent_indexer.app.run import exit_code, run
from precedent_indexer.domain.writers import WriterHistory, WriterTerm
from precedent_indexer.errors import Fault, Stalled
from precedent_indexer.index.generations import Generation, GenerationStore, open_index
from precedent_indexer.replicas.follower import LOOK_EVERY_S, Follower
from precedent_indexer.replicas.forwarding import take_forwarded, writers_subject
from precedent_indexer.replicas.late_writes import LateWriteRepair
from precedent_indexer.replicas.lease import Lease
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

_REMEMBERED: Final = 100
"""Writers that the registry keeps: an older one would still need a request in flight to do harm."""


@dataclass(frozen=True, slots=True)
class WriterDependencies:
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
    """Runs a whole indexer in the replica that has just taken the lease."""

    def __init__(self, dependencies: WriterDependencies, left: WriterHistory) -> None:
        """`left`: what the previous writer recorded with the index."""
        self._dependencies = dependencies
        self._left = left
        self._generations = SharedGenerations(dependencies.notes, dependencies.server, dependencies.lease)
        self._generation_store = GenerationStore(
            self._generations, self._generations.open, dependencies.models.installed.model, dependencies.models.files
        )

    async def write(
        self,
        service_endpoint: ServiceEndpoint,
        follower: Follower,
        keeping: asyncio.Task[None],
        told: set[asyncio.Future[Any]],
    ) -> int:
        """Index and answer until one of `told` is done; the exit code.

        Args:
            service_endpoint: the NATS service of the process.
            follower: answers the questions that came before the lease was taken.
            keeping: renews the lease.
            told: what ends the process in good order.

        Raises:
            LeaseLost: another replica writes.
            StartRefused, Stalled: as `ActiveIndex.follow`.
        """
        dependencies = self._dependencies
        active = ActiveIndex(self._index_dependencies(), await self._open())
        await active.feed.start()
        await dependencies.bus.subscribe(
            writers_subject(dependencies.lease.token), partial(take_forwarded, active.query_server)
        )
        before = await service_endpoint.lead_to(active.query_server, active.index.identity)
        log.info(
            "writing",
            token=dependencies.lease.token,
            indexed_seq=active.progress.indexed_seq,
            index=active.index.identity.uuid,
        )
        answering = asyncio.create_task(_answer_earlier_questions(before, follower))
        try:
            ended = await run(
                active,
                service_endpoint,
                beside=(self._repair(active).run(),),
                watched=(keeping,),
                ends=told,
                on_end=_report,
            )
        finally:
            answering.cancel()
        if ended.is_soft and dependencies.lease.holds and not isinstance(ended.failure, Stalled):
            await self._leave(active)
        if ended.failure is not None:
            raise ended.failure
        log.info("stopped")
        return exit_code(dependencies.bus)

    async def _open(self) -> Generation:
        dependencies = self._dependencies
        registry, token = dependencies.server.registry, dependencies.lease.token
        self._generations.tidy()
        since = self._left.identity.watermark if self._left.identity is not None else 0
        # Before anything is written: the next writer must know that requests of this one may be late.
        await dependencies.workers.write(registry.keep_term, WriterTerm(token, since))
        log_state = await dependencies.source.state()
        index = await open_index(self._generation_store, dependencies.source, log_state, None, await self._index_uuid())
        # By this token: what an earlier writer says of it from now on does not count.
        await dependencies.workers.write(registry.use, token, index.path.name)
        await dependencies.workers.write(index.store.set_identity, index.identity)
        await dependencies.workers.write(registry.forget_writers, token - _REMEMBERED)
        await DurableConsumer(dependencies.bus).ensure(
            index_uuid=index.identity.uuid, after_seq=index.identity.watermark
        )
        # Others answer from it from now on: the log is read for this index, and for no other.
        await dependencies.lease.name_index(index.identity.uuid)
        return index

    async def _index_uuid(self) -> str | None:
        """The UUID of the index, also if Chroma has lost it: replicas and the consumer identify the index by it."""
        seen = self._dependencies.lease.seen
        if seen is not None and seen.index is not None:
            return seen.index
        return (
            self._left.identity.uuid
            if self._left.identity is not None
            else await DurableConsumer(self._dependencies.bus).orphaned_index()
        )

    def _index_dependencies(self) -> Dependencies:
        dependencies = self._dependencies
        return Dependencies(
            settings=dependencies.settings,
            bus=dependencies.bus,
            source=dependencies.source,
            dead_letters=dependencies.dead_letters,
            workers=dependencies.workers,
            models=dependencies.models,
            generations=self._generation_store,
            metrics=dependencies.models.metrics,
            probe=self._probe,
            saves_each=True,
        )

    def _repair(self, active: ActiveIndex) -> LateWriteRepair:
        dependencies = self._dependencies
        return LateWriteRepair(
            service=active,
            registry=dependencies.server.registry,
            progress=active.progress,
            workers=dependencies.workers,
            token=dependencies.lease.token,
            sweep=self._generations.sweep,
            settle_s=None if self._left.was_left() else REQUEST_TIMEOUT_S,
        )

    async def _probe(self, generation: Path) -> str | None:
        return await self._dependencies.workers.read(probe_server, self._dependencies.server, generation.name)

    async def _leave(self, active: ActiveIndex) -> None:
        """Record that this writer has ended, and release the lease, so that the next one starts at once."""
        await asyncio.get_running_loop().run_in_executor(None, active.close)
        registry, lease = self._dependencies.server.registry, self._dependencies.lease
        with contextlib.suppress(Fault):
            history = await asyncio.to_thread(registry.read)
            own = next(one for one in history.terms if one.token == lease.token)
            await asyncio.to_thread(registry.keep_term, replace(own, ended=True))
            await lease.release()


def _report(failure: BaseException | None) -> None:
    if failure is not None:
        log.error("leaving", error=type(failure).__name__, detail=str(failure)[:300])


async def _answer_earlier_questions(query_server: QueryServer | None, follower: Follower) -> None:
    """Answer the questions that the follower accepted: some of them wait for the index to advance."""
    if query_server is None:
        return
    drained = asyncio.create_task(query_server.drain())
    while not (await asyncio.wait({drained}, timeout=LOOK_EVERY_S))[0]:
        with contextlib.suppress(Fault):
            await follower.look()
