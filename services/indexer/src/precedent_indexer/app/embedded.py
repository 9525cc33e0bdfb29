"""The embedded mode put together: one process, one directory, Chroma inside."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

import structlog

from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.chroma.probe_process import probe
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.provision.consumer import DurableConsumer
from precedent_indexer.app.active_index import ActiveIndex, Dependencies
from precedent_indexer.app.endpoint import ServiceEndpoint
from precedent_indexer.app.models import Models
from precedent_indexer.app.run import exit_code, run
from precedent_indexer.app.startup import CONNECTION_NAME, open_log, start_refusals
from precedent_indexer.errors import (
    FAILED,
    ResourceShortage,
    Stalled,
    StartRefused,
    StoreUnavailable,
)
from precedent_indexer.index.directory import IndexDirectory, moved
from precedent_indexer.index.generations import GenerationStore, open_index
from precedent_indexer.observability import metrics_server
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.open_files import raise_limit
from precedent_indexer.runtime.shutdown import when_told
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

_EMPTY: Final = (
    "it is filled from the log now, and answers cover only a part until `precedent-indexer health` says healthy; "
    "if a filled index was meant, stop, and set PRECEDENT_CHROMA_PATH to its directory"
)


async def serve(settings: Settings) -> int:
    """Index and answer until SIGTERM or SIGINT; the exit code.

    Raises:
        StartRefused: something contradicts what must hold.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory = IndexDirectory(settings.precedent_chroma_path)
        stack.callback(directory.close)
        workers = Workers()
        models, broken = await _prepare(settings, directory, workers)
        bus = await Bus.connect(settings, CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        active = await _open(settings, bus, directory, workers, models, broken)
        if settings.precedent_metrics_port:
            host, port = settings.precedent_metrics_host, settings.precedent_metrics_port
            stack.callback(metrics_server.serve(models.metrics, host, port))
        return await _run(bus, active)


@contextlib.asynccontextmanager
async def open_offline(settings: Settings) -> AsyncIterator[ActiveIndex]:
    """The index for a job, if no indexer is running: it answers no question and takes nothing from the consumer.

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
        bus = await Bus.connect(settings, CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        active = await _open(settings, bus, directory, workers, models, broken)
        stack.callback(active.close)
        stack.push_async_callback(active.jobs.stop)
        yield active


async def _prepare(settings: Settings, directory: IndexDirectory, workers: Workers) -> tuple[Models, str | None]:
    """The model, and what is wrong with the generation in use: both take seconds, so they are done together."""
    raise_limit(settings.precedent_max_collections)
    current = directory.current()
    probing = asyncio.create_task(probe(current, directory.lock)) if current else None
    try:
        models = await asyncio.to_thread(Models, settings, workers, Metrics())
        return models, await probing if probing else None
    except ResourceShortage as error:
        raise StartRefused(f"the index in {directory.path} cannot be used: {error}") from error
    finally:
        if probing:
            probing.cancel()
            await asyncio.wait({probing})


async def _open(
    settings: Settings, bus: Bus, directory: IndexDirectory, workers: Workers, models: Models, broken: str | None
) -> ActiveIndex:
    generations = GenerationStore(directory, ChromaStore.open, models.installed.model, models.files)
    opened = await open_log(bus, settings)
    source, dead_letters = opened.source, opened.dead_letters
    with start_refusals():
        # Asked before anything is written: a refused start leaves everything as it was.
        consumer = DurableConsumer(bus, directory.path)
        orphan = await consumer.orphaned_index()
        try:
            index = await open_index(generations, source, opened.state, broken, orphan)
        except StoreUnavailable as error:
            raise StartRefused(f"the index in {directory.path} cannot be used: {error}") from error
        elsewhere = moved(settings.precedent_chroma_path, directory.path, await consumer.last_directory())
        await consumer.ensure(index_uuid=index.identity.uuid, after_seq=index.identity.watermark)
    if elsewhere:
        log.warning("index_path_moved", remedy=elsewhere)
    if index.identity.watermark == 0 and opened.state.messages:
        log.warning("index_empty", log_messages=opened.state.messages, remedy=_EMPTY)
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
    return ActiveIndex(dependencies, index)


async def _run(bus: Bus, active: ActiveIndex) -> int:
    stopping = when_told()
    await active.feed.start()
    index = active.index
    endpoint = ServiceEndpoint(bus)
    await endpoint.lead_to(
        active.query_server,
        index.identity,
        indexed_seq=active.progress.indexed_seq,
        model=index.identity.fingerprint,
        runtime=active.runtime,
        directory=str(index.path.parent),
    )
    told = asyncio.create_task(stopping.wait())

    def report(failure: BaseException | None) -> None:
        if isinstance(failure, Stalled):
            log.error("stalled", detail=str(failure))
        if bus.closed.done():
            log.error("nats_closed", remedy="the connection was closed for good; the supervisor should start us again")

    ended = await run(active, endpoint, beside=(), watched=(), ends=(told, bus.closed), on_end=report)
    stalled = isinstance(ended.failure, Stalled)
    if ended.is_soft and not stalled:
        # A thread that hangs would be waited for without end.
        await asyncio.get_running_loop().run_in_executor(None, active.close)
    if stalled:
        return FAILED
    failure = ended.failure
    if failure is None and ended.ingesting.done() and not ended.ingesting.cancelled():
        failure = ended.ingesting.exception()
    if failure is not None:
        raise failure
    log.info("stopped")
    return exit_code(bus)
