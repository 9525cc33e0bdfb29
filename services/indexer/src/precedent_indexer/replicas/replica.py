"""Several indexers over one Chroma server: all answer, and the one that has the lease writes.

A replica begins by following the index that another writes. Where nobody writes, it takes the lease, becomes a whole
indexer in the same process, and stays one until it ends. One that loses the lease ends: the supervisor starts it
again, and it follows.
"""

import asyncio
import contextlib
import uuid
from typing import Any, Final

import structlog

from precedent_indexer.adapters.chroma.server import ChromaServer
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.deliveries import PullFeed
from precedent_indexer.adapters.nats.lease import LeaseEntry
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.app.endpoint import ServiceEndpoint
from precedent_indexer.app.handlers import query_server
from precedent_indexer.app.metrics_collector import FollowerMetrics
from precedent_indexer.app.models import Models
from precedent_indexer.app.run import exit_code
from precedent_indexer.app.startup import CONNECTION_NAME, open_log
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.writers import WriterHistory
from precedent_indexer.errors import Fault
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.observability import metrics_server
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.replicas.follower import LOOK_EVERY_S, Follower
from precedent_indexer.replicas.lease import Lease
from precedent_indexer.replicas.writer import Writer, WriterDependencies
from precedent_indexer.runtime.shutdown import SOFT_STOP_S, when_told, within
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

_NOTES: Final = "replica"
"""Directory, inside of PRECEDENT_CHROMA_PATH, of what a replica keeps for itself."""
_ATTEMPT_EVERY_S: Final = 0.5


async def serve(settings: Settings) -> int:
    """Answer, and write if no other replica does, until SIGTERM or SIGINT; the exit code.

    Raises:
        StartRefused: something contradicts what must hold.
        LeaseLost: another replica writes.
    """
    async with contextlib.AsyncExitStack() as stack:
        home = IndexDirectory(settings.precedent_chroma_path)
        stack.callback(home.close)
        workers = Workers()
        stack.callback(workers.close)
        models = await asyncio.to_thread(Models, settings, workers, Metrics())
        server = await asyncio.to_thread(ChromaServer.connect, settings)
        bus = await Bus.connect(settings, CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        opened = await open_log(bus, settings)
        if settings.precedent_metrics_port:
            host, port = settings.precedent_metrics_host, settings.precedent_metrics_port
            stack.callback(metrics_server.serve(models.metrics, host, port))
        lease = Lease(LeaseEntry(bus), uuid.uuid4().hex, settings.precedent_lease_s)
        dependencies = WriterDependencies(
            settings, home.path / _NOTES, bus, opened.source, opened.dead_letters, workers, models, server, lease
        )
        return await Replica(dependencies).run()


class Replica:
    """One replica: it follows, and writes once it has the lease."""

    def __init__(self, dependencies: WriterDependencies) -> None:
        self._dependencies = dependencies
        self._service_endpoint = ServiceEndpoint(dependencies.bus)
        feed = PullFeed(dependencies.bus, window=0)
        self._follower = Follower(
            read_history=dependencies.server.registry.read,
            open_store=dependencies.server.open,
            embedding=dependencies.models.installed,
            source=dependencies.source,
            dead_letters=dependencies.dead_letters,
            workers=dependencies.workers,
            bus=dependencies.bus,
            claim=lambda: dependencies.lease.seen,
            max_payload=lambda: dependencies.bus.max_payload,
        )
        self._follower_metrics = FollowerMetrics(
            metrics=dependencies.models.metrics,
            feed=feed,
            source=dependencies.source,
            dead_letters=dependencies.dead_letters,
            progress=self._follower.progress,
            liveness=self._follower.liveness,
        )

    async def run(self) -> int:
        """Follow, then write; the exit code."""
        bus, lease = self._dependencies.bus, self._dependencies.lease
        stopping = when_told()
        told: set[asyncio.Future[Any]] = {asyncio.create_task(stopping.wait()), bus.closed}
        following = asyncio.create_task(self._follow())
        watching = asyncio.create_task(self._follower_metrics.run())
        await asyncio.wait({following, *told}, return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        if not following.done():
            following.cancel()
            await within(SOFT_STOP_S, self._service_endpoint.stop_taking, self._service_endpoint.drain)
            log.info("stopped")
            return exit_code(bus)
        keeping = asyncio.create_task(lease.keep())
        try:
            return await Writer(self._dependencies, await following).write(
                self._service_endpoint, self._follower, keeping, told
            )
        finally:
            keeping.cancel()
            await asyncio.wait({keeping})

    async def _follow(self) -> WriterHistory:
        """Answer from the index that another replica writes, until this one takes the lease; the last record."""
        dependencies, liveness = self._dependencies, self._follower.liveness
        now = asyncio.get_running_loop().time
        attempt_at = now()
        unused: IndexView | None = None
        while True:
            try:
                history, view = await self._follower.look()
                unused = view or unused
                # One that nobody has named may be refused: the log feeds another index.
                if (
                    unused is not None
                    and history.identity is not None
                    and dependencies.lease.names(history.identity.uuid)
                ):
                    await self._answer_from(unused, history.identity)
                    unused = None
                if now() >= attempt_at:
                    attempt_at = now() + _ATTEMPT_EVERY_S
                    if await dependencies.lease.attempt(history.token, vacant=history.was_left()):
                        return await dependencies.workers.read(dependencies.server.registry.read)
                liveness.hear()
            except Fault as error:
                if liveness.fault is None:
                    log.warning("following_waits", error=type(error).__name__, detail=str(error)[:300])
                liveness.fault = "the index or the bus cannot be read"
            await asyncio.sleep(LOOK_EVERY_S)

    async def _answer_from(self, view: IndexView, index: Identity) -> None:
        verbs = self._follower.verbs(view)
        if self._service_endpoint.query_server is not None:
            self._service_endpoint.query_server.use(verbs)
            return
        server = query_server(
            verbs,
            bus=self._dependencies.bus,
            settings=self._dependencies.settings,
            wait_until_covered=view.wait_until_covered,
            prefetch=self._follower.prefetch,
            metrics=self._dependencies.models.metrics,
        )
        await self._service_endpoint.lead_to(server, index)
