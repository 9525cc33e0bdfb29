"""The composition root: the only module that names concrete classes and puts them together."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from precedent_indexer import __version__
from precedent_indexer.adapters.chroma_store import ChromaStore
from precedent_indexer.adapters.dead_letter_stream import JetStreamDeadLetters
from precedent_indexer.adapters.embedder import MiniLmEmbedder
from precedent_indexer.adapters.jetstream_log import JetStreamLog
from precedent_indexer.adapters.nats_io import Bus
from precedent_indexer.adapters.provisioning import create_consumer, delete_consumer, ensure_consumer, ensure_streams
from precedent_indexer.adapters.pull_feed import INDEX_UUID_KEY, PullFeed
from precedent_indexer.answering import Answerer
from precedent_indexer.applying import Applier
from precedent_indexer.door import Door, Verb
from precedent_indexer.embedding import Embedding
from precedent_indexer.errors import Fault, StartRefused, StoreUnavailable
from precedent_indexer.generations import IndexDirectory
from precedent_indexer.index import OpenedIndex, misfit, open_index, with_watermark
from precedent_indexer.ingest import Ingest
from precedent_indexer.listing import Lister
from precedent_indexer.model import DEFAULT_MODEL_DIR, ModelError
from precedent_indexer.ports import ConsumerState, Identity, LogState
from precedent_indexer.progress import Progress
from precedent_indexer.recurring import Recurrence
from precedent_indexer.removing import Remover
from precedent_indexer.reviving import Reviver
from precedent_indexer.settings import Settings
from precedent_indexer.view import IndexView
from precedent_indexer.workers import Workers
from precedent_schemas import catalogue

log = structlog.get_logger(__name__)

_CONNECTION_NAME: Final = "precedent-indexer"
_SERVICE_DESCRIPTION: Final = "The memory of a security backend: have we seen something like this before?"
_MAX_THREADS: Final = 4
"""Threads of one embedding; more of them only wait for each other on texts as short as events."""
_SOFT_STOP_S: Final = 7.0
"""Seconds for what is in hand to end after SIGTERM; what has not ended then is redelivered."""


class _Books:
    """Looks after the watermark and the consumer on behalf of the write corridor."""

    def __init__(self, bus: Bus, index: OpenedIndex, progress: Progress, workers: Workers) -> None:
        self._bus = bus
        self._index = index
        self._progress = progress
        self._workers = workers

    async def save_watermark(self, seq: int) -> None:
        identity: Identity = with_watermark(self._index.identity, seq)
        await self._workers.write(self._index.store.set_identity, identity)

    def check_log(self, log_state: LogState) -> None:
        reason = misfit(with_watermark(self._index.identity, self._progress.indexed_seq), log_state)
        if reason is not None:
            raise StartRefused(f"the index no longer fits the log: {reason}; started again, it is rebuilt from the log")

    async def recreate_consumer(self, after_seq: int) -> None:
        await create_consumer(self._bus, index_uuid=self._index.identity.uuid, after_seq=after_seq)

    async def drop_consumer(self) -> None:
        await delete_consumer(self._bus)

    async def check_owner(self, consumer: ConsumerState) -> None:
        if consumer.index_uuid != self._index.identity.uuid:
            await ensure_consumer(self._bus, index_uuid=self._index.identity.uuid, after_seq=0, is_new_index=False)


async def init(settings: Settings) -> None:
    """Create the streams and the consumer, or check them, and nothing else.

    Raises:
        StartRefused: they contradict the contract, or cannot be created.
    """
    bus = await Bus.connect(settings, _CONNECTION_NAME)
    try:
        await ensure_streams(bus)
        await ensure_consumer(bus, index_uuid=None, after_seq=0, is_new_index=False)
    finally:
        await bus.close()


async def serve(settings: Settings) -> int:
    """Index and answer until SIGTERM or SIGINT; the exit code.

    Raises:
        StartRefused: something contradicts what must hold.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory = IndexDirectory(settings.precedent_chroma_path)
        stack.callback(directory.close)
        embedders = _open_embedders(settings)
        bus = await Bus.connect(settings, _CONNECTION_NAME)
        stack.push_async_callback(bus.close)
        return await _serve_on(settings, bus, directory, *embedders)


def _open_embedders(settings: Settings) -> tuple[MiniLmEmbedder, MiniLmEmbedder]:
    """A session for events, and one for questions, which must not wait behind them."""
    threads = settings.precedent_embed_threads or min(_MAX_THREADS, os.cpu_count() or 1)
    directory = settings.precedent_model_path or DEFAULT_MODEL_DIR
    runtime = settings.precedent_runtime
    try:
        return (
            MiniLmEmbedder.open(directory, threads=threads, runtime=runtime),
            MiniLmEmbedder.open(directory, threads=threads, runtime=runtime, questions=True),
        )
    except ModelError as error:
        raise StartRefused(f"the model cannot be used: {error}") from error


async def _serve_on(
    settings: Settings, bus: Bus, directory: IndexDirectory, embedder: MiniLmEmbedder, questions: MiniLmEmbedder
) -> int:
    try:
        await ensure_streams(bus)
        source = JetStreamLog(bus)
        log_state = await source.state()
        index = open_index(directory, ChromaStore.open, log_state, embedder.model)
        await ensure_consumer(
            bus,
            index_uuid=index.identity.uuid,
            after_seq=index.identity.watermark,
            # One that has read nothing yet is as good as new, also where its first start was refused.
            is_new_index=index.is_new or index.identity.watermark == 0,
        )
        dead_letters = JetStreamDeadLetters(bus, log_state.created)
        await dead_letters.refresh()
    except StoreUnavailable as error:
        raise StartRefused(f"the index in {directory.path} cannot be used: {error}") from error
    except Fault as error:
        raise StartRefused(f"JetStream cannot be used: {error}") from error
    workers = Workers()
    embedding = Embedding(
        events=embedder,
        questions=questions,
        workers=workers,
        cache_entries=settings.precedent_embedding_cache,
    )
    progress = Progress(index.identity.watermark)
    for seq, refusal in dead_letters.refusals().items():
        progress.refuse(seq, refusal)
    feed = PullFeed(bus, window=2 * settings.precedent_batch_size)
    applier = Applier(
        store=index.store,
        embedding=embedding,
        dead_letters=dead_letters,
        source=source,
        workers=workers,
        max_collections=settings.precedent_max_collections,
    )
    ingest = Ingest(
        feed=feed,
        source=source,
        applier=applier,
        progress=progress,
        books=_Books(bus, index, progress, workers),
        batch_size=settings.precedent_batch_size,
    )
    view = IndexView(store=index.store, embedding=embedding, source=source, progress=progress, workers=workers)
    verbs = _verbs(bus, view, applier, feed, dead_letters)
    door = Door(
        verbs,
        reply=bus.reply,
        wait_until_covered=view.wait_until_covered,
        max_payload=lambda: bus.max_payload,
        at_once=settings.precedent_questions_at_once,
        waiting=settings.precedent_questions_waiting,
    )
    await feed.start()
    await bus.serve(catalogue.ENDPOINTS, door.take, _SERVICE_DESCRIPTION, {INDEX_UUID_KEY: index.identity.uuid})
    log.info(
        "serving",
        version=__version__,
        index=index.identity.uuid,
        indexed_seq=progress.indexed_seq,
        model=embedder.model.fingerprint,
        runtime=embedding.model.runtime,
        directory=str(directory.path),
    )
    return await _run(bus, ingest, feed, door, workers, index, progress)


def _verbs(
    bus: Bus, view: IndexView, applier: Applier, feed: PullFeed, dead_letters: JetStreamDeadLetters
) -> dict[str, Verb]:
    """Who answers what, by the name of the endpoint."""
    answerer = Answerer(view, feed=feed, dead_letters=dead_letters)
    remover = Remover(view, applier, lambda: bus.max_payload)
    reviver = Reviver(view, dead_letters, bus, lambda: bus.max_payload)
    return {
        catalogue.SEARCH.name: answerer.search,
        catalogue.RECURRENCE.name: Recurrence(view).recurrence,
        catalogue.GET.name: answerer.get,
        catalogue.LIST.name: Lister(view, lambda: bus.max_payload).page,
        catalogue.DELETE.name: remover.delete,
        catalogue.CLEAR.name: remover.clear,
        catalogue.COLLECTION_STATS.name: answerer.collection_stats,
        catalogue.STATS.name: answerer.stats,
        catalogue.DEAD_LIST.name: reviver.page,
        catalogue.DEAD_GET.name: reviver.get,
        catalogue.DEAD_REPLAY.name: reviver.replay,
        catalogue.DEAD_DROP.name: reviver.drop,
    }


async def _run(
    bus: Bus,
    ingest: Ingest,
    feed: PullFeed,
    door: Door,
    workers: Workers,
    index: OpenedIndex,
    progress: Progress,
) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_softly, stopping)
    ingesting = asyncio.create_task(ingest.run())
    told = asyncio.create_task(stopping.wait())
    waited: set[asyncio.Future[Any]] = {ingesting, told, bus.closed}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if bus.closed.done():
        log.error("nats_closed", remedy="the connection was closed for good; the supervisor should start us again")
    ingest.stop()
    progress.let_go()
    soft = await _within(_SOFT_STOP_S, bus.stop_taking, lambda: asyncio.wait({ingesting}), door.drain, feed.stop)
    if not soft:
        log.warning("stopped_hard", after_s=_SOFT_STOP_S)
        ingesting.cancel()
    else:
        await loop.run_in_executor(None, workers.close)
        index.store.close()
    if ingesting.done() and not ingesting.cancelled() and (error := ingesting.exception()) is not None:
        raise error
    log.info("stopped")
    return 1 if bus.closed.done() else 0


def _stop_softly(stopping: asyncio.Event) -> None:
    if stopping.is_set():
        # Asked twice: now. Whatever is in hand is redelivered.
        os._exit(1)
    log.info("stopping")
    stopping.set()


async def _within(seconds: float, *steps: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(seconds):
            for step in steps:
                await step()
    except (TimeoutError, Fault):
        return False
    return True
