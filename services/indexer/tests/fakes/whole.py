"""A whole indexer in this process: real Chroma, directory, corridor and rebuild over a log and a consumer in memory."""

import asyncio
import itertools
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, cast

from fakes.beside_store import NO_MODEL_FILES
from fakes.dead_letters import FakeDeadLetters
from fakes.deliveries import FakeDeliveries
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.workers import InlineWorkers
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.domain.messages import ConsumerState
from precedent_indexer.domain.ports import Consumer
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.layout import CRASH_JOURNAL
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_indexer.ingest.supervisor import Ingest
from precedent_indexer.maintenance.rebuild import Rebuilder
from precedent_indexer.observability.metrics import discard_metrics

_PATIENCE_S = 60
_ACK_WAIT = 200
"""Turns of the event loop after which what is not settled comes again."""
_CLOSING_S = 10
_DESCRIPTORS = Path("/proc/self/fd")
_NO_CONSUMER = cast("Consumer", None)


class _Checkpoint(Checkpoint):
    """The real watermark; the consumer in memory."""

    def __init__(self, whole: "WholeIndexer", index: Generation) -> None:
        super().__init__(_NO_CONSUMER, index, whole.progress, whole.workers, whole.log)
        self._feed = whole.feed

    async def recreate_consumer(self, after_seq: int) -> None:
        """Make it again."""
        self._feed.recreate(after_seq)

    async def check_owner(self, consumer: ConsumerState) -> None:
        """There is one indexer."""


class _GenerationStore(GenerationStore):
    """Remembers what it has opened: what dies with a process must be closed by hand in this one."""

    opened: list[Generation]

    def _opened(self, *arguments: Any, **options: Any) -> Generation:
        self.opened.append(super()._opened(*arguments, **options))
        return self.opened[-1]


class WholeIndexer:
    """Log, consumer, dead letters and files outlive the process; `rebuilding.Service` is what it is to a rebuild."""

    def __init__(self, path: Path) -> None:
        self.log = FakeLog()
        self.feed = FakeDeliveries(self.log)
        self.dead_letters = FakeDeadLetters()
        self.workers = InlineWorkers()
        self._embedder = FakeEmbedder()
        self._path = path / "index"
        self._copy = path / "copy"
        self._opened: list[Generation] = []

    async def start(self) -> None:
        """A new life of the process."""
        self._directory = IndexDirectory(self._path)
        self._generations = _GenerationStore(self._directory, ChromaStore.open, self._embedder.model, NO_MODEL_FILES)
        self._generations.opened = self._opened
        self.index = self._generations.open(await self.log.state())
        self.feed.index_uuid = self.index.identity.uuid
        self.progress = Progress(self.index.identity.watermark)
        self.ingest = Ingest(
            feed=self.feed,
            source=self.log,
            applier=self.filler(self.index),
            progress=self.progress,
            checkpoint=_Checkpoint(self, self.index),
            batch_size=4,
            metrics=discard_metrics(),
            saves_each=False,
        )
        self._tasks = [asyncio.create_task(self.ingest.run())]

    async def crash(self) -> None:
        """The process ends here and now: what was in hand is what its note says."""
        note = self.index.path / CRASH_JOURNAL
        left = note.read_bytes() if note.exists() else None
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._tasks.clear()
        if left is not None and note.parent.exists():
            note.write_bytes(left)
        self._directory.close()
        self._let_go_of_files()
        self.feed.forget_client()

    async def work(self, turns: int) -> None:
        """Let it work for so many turns of the event loop."""
        for _ in range(turns):
            await asyncio.sleep(0)
        self._raise_if_ended()

    async def work_to_the_end(self) -> None:
        """Let it work until the log is covered, everything is settled and saved, and no rebuild is under way."""
        deadline = time.monotonic() + _PATIENCE_S
        for exclusive_lock in itertools.count():
            if time.monotonic() > deadline:
                break
            if exclusive_lock % _ACK_WAIT == 0:
                self.feed.let_ack_wait_pass()
            await self.work(1)
            covered = self.progress.indexed_seq == self.log.last_seq and not self.feed.pending_acks
            if covered and all(task.done() for task in self._tasks[1:]):
                return
        raise AssertionError(f"still at {self.progress.indexed_seq} of {self.log.last_seq}")

    async def begin_rebuild(self) -> None:
        """Rebuild beside the work, unless one is under way."""
        if all(task.done() for task in self._tasks[1:]):
            rebuilder = Rebuilder(
                service=self,
                generations=self._generations,
                source=self.log,
                dead_letters=self.dead_letters,
                progress=self.progress,
                workers=self.workers,
                probe=self._probe,
            )
            self._tasks.append(asyncio.create_task(_as_none(rebuilder.run("for a test", lambda *_: None))))

    def take_copy(self) -> None:
        """Copy the files; only between two lives."""
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._path, self._copy)

    def put_copy_back(self) -> None:
        """Put the copy in the place of the files, if there is one; only between two lives."""
        if self._copy.exists():
            self.lose_the_files()
            shutil.copytree(self._copy, self._path)

    def lose_the_files(self) -> None:
        """Remove them; only between two lives."""
        shutil.rmtree(self._path)

    @property
    def generations(self) -> int:
        """How many there are on disk."""
        return len(self._directory.all())

    # -- what a rebuild needs of its service

    def filler(self, index: Generation) -> Applier:
        """Fills a generation."""
        return Applier(
            store=index.store,
            embedding=embedding_of(self._embedder),
            dead_letters=self.dead_letters,
            source=self.log,
            workers=self.workers,
            max_collections=64,
            vectors=index.vectors,
            deleted_text=index.deleted_text,
            deletion_results=DeletionResults(),
            metrics=discard_metrics(),
        )

    async def reached(self) -> int:
        """As far as the write corridor."""
        return self.progress.indexed_seq

    def held(self) -> AbstractAsyncContextManager[None]:
        """Inside, nothing is taken from the log."""
        return self.ingest.held()

    def take_over(self, index: Generation) -> Callable[[], Awaitable[object]]:
        """Use another generation."""
        self.ingest.use(self.filler(index), _Checkpoint(self, index))
        self.index = index
        return self.let_questions_pass

    async def let_questions_pass(self) -> None:
        """There are none."""

    async def _probe(self, _generation: Path) -> str | None:
        return None

    def _let_go_of_files(self) -> None:
        """Close what is open, as the end of a process would: also what a thread is opening for a rebuild just now."""
        deadline = time.monotonic() + _CLOSING_S
        while opened := [one for one in map(_target, _DESCRIPTORS.glob("*")) if str(self._path) in one]:
            while self._opened:
                self._opened.pop().close()
            assert time.monotonic() < deadline, f"still open: {opened}"
            time.sleep(0.005)

    def _raise_if_ended(self) -> None:
        for task in self._tasks:
            if task.done():
                task.result()


def _target(descriptor: Path) -> str:
    """The file behind a descriptor; empty if it was closed since it was listed."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


async def _as_none(work: Awaitable[object]) -> None:
    await work
