"""The composition root: the only module that names concrete classes and puts them together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import structlog

from precedent_indexer import __version__
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.chroma.probe_process import probe
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.deliveries import INDEX_UUID_KEY, LOG_KEY
from precedent_indexer.adapters.nats.lease import ensure_bucket
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.adapters.nats.permissions import check_permissions
from precedent_indexer.adapters.nats.streams import (
    await_leaders,
    ensure_consumer,
    ensure_streams,
    log_name,
    operators_choices,
    orphaned_index,
    refuse_second_log,
)
from precedent_indexer.app.active_index import Dependencies, Serving
from precedent_indexer.app.endpoint import SERVICE_DESCRIPTION
from precedent_indexer.app.models import Models
from precedent_indexer.errors import (
    FAILED,
    REFUSED,
    Fault,
    NotPermitted,
    Stalled,
    StartDenied,
    StartRefused,
    StoreUnavailable,
)
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.index.generations import GenerationStore, open_index
from precedent_indexer.index.log_match import began_at
from precedent_indexer.observability import metrics_server
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.replicas import replica
from precedent_indexer.runtime.shutdown import SOFT_STOP_S, when_told, within
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings
from precedent_schemas import catalogue

log = structlog.get_logger(__name__)

_CONNECTION_NAME: Final = "precedent-indexer"


async def init(settings: Settings) -> None:
    """Create the streams and the consumer, or check them, and nothing else.

    Raises:
        StartRefused: they contradict the contract, or cannot be created.
    """
    bus = await Bus.connect(settings, _CONNECTION_NAME)
    try:
        await await_leaders(bus, settings.precedent_start_timeout_s)
        await ensure_streams(bus, operators_choices(settings))
        await ensure_consumer(bus, index_uuid=None, after_seq=0)
        if settings.precedent_chroma_url is not None:
            await ensure_bucket(bus, settings.precedent_replicas)
    finally:
        await bus.close()


async def serve(settings: Settings) -> int:
    """Index and answer until SIGTERM or SIGINT; the exit code.

    Raises:
        StartRefused: something contradicts what must hold.
    """
    if settings.precedent_chroma_url is not None:
        return await replica.serve(settings, _CONNECTION_NAME)
    async with contextlib.AsyncExitStack() as stack:
        directory = IndexDirectory(settings.precedent_chroma_path)
        stack.callback(directory.close)
        workers = Workers()
        models, broken = await _prepare(settings, directory, workers)
        bus = await Bus.connect(settings, _CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        serving = await _open(settings, bus, directory, workers, models, broken)
        if settings.precedent_metrics_port:
            host, port = settings.precedent_metrics_host, settings.precedent_metrics_port
            stack.callback(metrics_server.serve(models.metrics, host, port))
        return await _run(bus, serving)


@contextlib.asynccontextmanager
async def open_offline(settings: Settings) -> AsyncIterator[Serving]:
    """The index where no indexer runs, for a job: it answers nobody, and takes nothing from the consumer.

    Raises:
        StartRefused: another process has it, or something contradicts what must hold.
    """
    if settings.precedent_chroma_url is not None:
        raise StartRefused("no indexer answers: with PRECEDENT_CHROMA_URL set, start one, and ask it")
    async with contextlib.AsyncExitStack() as stack:
        directory = IndexDirectory(settings.precedent_chroma_path)
        stack.callback(directory.close)
        workers = Workers()
        models, broken = await _prepare(settings, directory, workers)
        bus = await Bus.connect(settings, _CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        serving = await _open(settings, bus, directory, workers, models, broken)
        stack.callback(serving.close)
        stack.push_async_callback(serving.jobs.stop)
        yield serving


async def _prepare(settings: Settings, directory: IndexDirectory, workers: Workers) -> tuple[Models, str | None]:
    """The model, and what is wrong with the generation in use: both take seconds, so they are done together."""
    current = directory.current()
    probing = asyncio.create_task(probe(current, directory.lock)) if current else None
    try:
        models = await asyncio.to_thread(Models, settings, workers, Metrics())
        return models, await probing if probing else None
    finally:
        if probing:
            probing.cancel()
            await asyncio.wait({probing})


async def _open(
    settings: Settings, bus: Bus, directory: IndexDirectory, workers: Workers, models: Models, broken: str | None
) -> Serving:
    generations = GenerationStore(directory, ChromaStore.open, models.installed.model, models.files)
    try:
        await check_permissions(bus)
        await await_leaders(bus, settings.precedent_start_timeout_s)
        await ensure_streams(bus, operators_choices(settings))
        source = JetStreamLog(bus)
        log_state = await source.state()
        await refuse_second_log(bus, log_name(bus, log_state.created))
        # Asked before anything is begun: whoever is refused leaves everything as it was.
        index = await open_index(generations, source, log_state, broken, await orphaned_index(bus))
        await ensure_consumer(bus, index_uuid=index.identity.uuid, after_seq=index.identity.watermark)
        dead_letters = JetStreamDeadLetters(bus, log_state.created, await began_at(log_state, source))
        await dead_letters.refresh()
    except StoreUnavailable as error:
        raise StartRefused(f"the index in {directory.path} cannot be used: {error}") from error
    except NotPermitted as error:
        raise StartDenied(f"JetStream cannot be used: {error}") from error
    except Fault as error:
        raise StartRefused(f"JetStream cannot be used: {error}") from error
    dependencies = Dependencies(
        settings,
        bus,
        source,
        dead_letters,
        workers,
        models,
        generations,
        metrics=models.metrics,
        probe=partial(probe, lock=directory.lock),
    )
    return Serving(dependencies, index)


async def _run(bus: Bus, serving: Serving) -> int:
    stopping = when_told()
    loop = asyncio.get_running_loop()
    await serving.feed.start()
    index = serving.index
    await bus.serve(
        catalogue.ENDPOINTS,
        serving.query_server.take,
        SERVICE_DESCRIPTION,
        {INDEX_UUID_KEY: index.identity.uuid, LOG_KEY: log_name(bus, index.identity.stream_created)},
    )
    log.info(
        "serving",
        version=__version__,
        index=index.identity.uuid,
        indexed_seq=serving.progress.indexed_seq,
        model=index.identity.fingerprint,
        runtime=serving.runtime,
        directory=str(index.path.parent),
    )
    ingesting = asyncio.create_task(serving.follow())
    looking = [asyncio.create_task(one.run()) for one in (serving.watchdog, serving.housekeeping, serving.observer)]
    told = asyncio.create_task(stopping.wait())
    waited: set[asyncio.Future[Any]] = {ingesting, *looking, told, bus.closed}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    failure = next((one.exception() for one in (ingesting, *looking) if one.done() and one.exception()), None)
    stalled = isinstance(failure, Stalled)
    if stalled:
        log.error("stalled", detail=str(failure))
    if bus.closed.done():
        log.error("nats_closed", remedy="the connection was closed for good; the supervisor should start us again")
    for one in looking:
        one.cancel()
    serving.stop()
    soft = await within(
        SOFT_STOP_S,
        bus.stop_taking,
        serving.jobs.stop,
        lambda: asyncio.wait({ingesting, *looking}),
        serving.query_server.drain,
        serving.feed.stop,
    )
    if not soft:
        log.warning("stopped_hard", after_s=SOFT_STOP_S)
        ingesting.cancel()
    elif not stalled:
        # A thread that hangs would be waited for without end.
        await loop.run_in_executor(None, serving.close)
    if stalled:
        return 1
    if failure is None and ingesting.done() and not ingesting.cancelled():
        failure = ingesting.exception()
    if failure is not None:
        raise failure
    log.info("stopped")
    return _code(bus)


def _code(bus: Bus) -> int:
    if not bus.closed.done():
        return 0
    return REFUSED if bus.is_refused else FAILED
