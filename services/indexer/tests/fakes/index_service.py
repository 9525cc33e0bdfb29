"""An indexer around one index: a real directory with fake stores in it, and the log that both corridors read."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from fakes.beside_store import NO_MODEL_FILES
from fakes.chaos import Chaos
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.ports import Embedder, VectorStore
from precedent_indexer.errors import IndexBroken
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.log_match import with_watermark
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.maintenance.rebuild import Rebuilder
from precedent_indexer.observability.metrics import discard_metrics


class Disk:
    """Stores by directory, as files would keep them; `broken` ones cannot be opened, `unsound` ones are found out."""

    def __init__(self, path: Path) -> None:
        self.directory = IndexDirectory(path)
        self.stores: dict[Path, FakeVectorStore] = {}
        self.broken: set[Path] = set()
        self.unsound: set[Path] = set()
        self.chaos = Chaos()

    def open_store(self, path: Path) -> VectorStore:
        """The store in this directory."""
        if path in self.broken:
            self.broken.remove(path)
            raise IndexBroken(f"{path.name} is broken")
        if not (path / "fake-store").exists():
            # What was kept under this name was removed with its directory.
            (path / "fake-store").touch()
            self.stores[path] = FakeVectorStore(self.chaos)
        store = self.stores[path]
        store.closed = False
        return store

    async def probe(self, path: Path) -> str | None:
        """What a look at the directory finds."""
        return "its probe failed" if path in self.unsound else None


class FakeIndexService:
    """`rebuilding.Service`, `guarding.Service` and `upkeep.Service`; `follow` is its write corridor."""

    def __init__(self, path: Path, embedder: Embedder | None = None) -> None:
        self.disk = Disk(path)
        self.log = FakeLog()
        self.workers = InlineWorkers()
        self.dead_letters = FakeDeadLetters()
        self.embedder = embedder or FakeEmbedder()
        self.events: list[str] = []
        """What happened to the service, in order."""
        self.questions = asyncio.Event()
        """Cleared while a question to the old generation is in hand."""
        self.questions.set()
        self.is_rebuilding = False
        self._context = asyncio.Lock()
        self.generations = GenerationStore(
            self.disk.directory, self.disk.open_store, self.embedder.model, NO_MODEL_FILES
        )

    async def start(self) -> None:
        """Open the index, as a start does."""
        self.index = self.generations.open(await self.log.state())
        self.progress = Progress(self.index.identity.watermark)

    async def follow(self) -> None:
        """Apply what the log has got, and save it."""
        async with self._context:
            last = self.log.last_seq
            messages = [one async for one in self.log.read(self.progress.indexed_seq + 1, last)]
            await self.filler(self.index).apply(messages)
            self.progress.advance(last)
            self.index.store.set_identity(with_watermark(self.index.identity, last))

    @property
    def is_held(self) -> bool:
        """Whether nothing is taken from the log just now."""
        return self._context.locked()

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing is taken from the log inside."""
        async with self._context:
            self.events.append("held")
            yield

    def filler(self, index: Generation) -> Applier:
        """Fills a generation."""
        return Applier(
            store=index.store,
            embedding=embedding_of(self.embedder),
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

    def take_over(self, index: Generation) -> Callable[[], Awaitable[object]]:
        """Use another generation."""
        assert self._context.locked()
        self.events.append(f"took over {index.path.name}")
        self.index = index
        return self.questions.wait

    def refuse_questions(self) -> Callable[[], Awaitable[object]]:
        """Answer nothing."""
        self.events.append("shut")
        return self.questions.wait

    async def let_questions_pass(self) -> None:
        """There are none."""

    def rebuilder(self) -> Rebuilder:
        """A rebuilder of this service."""
        return Rebuilder(
            service=self,
            generations=self.generations,
            source=self.log,
            dead_letters=self.dead_letters,
            progress=self.progress,
            workers=self.workers,
            probe=self.disk.probe,
        )
