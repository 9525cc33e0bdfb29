"""Vectors that were computed before the process ended are there for the next, and go once their events are in."""

from pathlib import Path

import pytest

from fakes.beside_store import NoMarker
from fakes.chaos import Chaos
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Identity, Vectors
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.embedding import scheduler
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.ingest import uncommitted
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.uncommitted import UncommittedVectors
from precedent_indexer.observability.metrics import discard_metrics

TEXTS = ["a", "bb", "ccc", "dddd"]


class EndedError(BaseException):
    """The process ends here."""


class MortalEmbedder(FakeEmbedder):
    """Embeds so many slices before the process ends."""

    def __init__(self, lives: int) -> None:
        super().__init__()
        self.lives = lives
        self.given: list[str] = []

    def embed(self, texts: list[str]) -> Vectors:  # type: ignore[override]
        """Embed, or end."""
        if not self.lives:
            raise EndedError
        self.lives -= 1
        self.given += texts
        return super().embed(texts)


class Process:
    """An applier over a vector file on disk, as one process has it."""

    def __init__(self, directory: Path, embedder: FakeEmbedder, log: FakeLog) -> None:
        self.vectors = VectorFile(directory / "vectors.db", "fake")
        self.log = log
        store = FakeVectorStore(Chaos())
        store.set_identity(Identity("fake", "", "fake", 0, INDEX_FORMAT))
        self.applier = Applier(
            store=store,
            embedding=embedding_of(embedder),
            dead_letters=FakeDeadLetters(),
            source=log,
            workers=InlineWorkers(),
            max_collections=64,
            vectors=self.vectors,
            deleted_text=NoMarker(),
            deletion_results=DeletionResults(),
            metrics=discard_metrics(),
        )

    async def apply(self) -> None:
        """Apply the whole log as one batch."""
        await self.applier.apply(list(self.log.messages.values()))

    async def kept(self) -> list[str]:
        """Texts whose vector is kept although it is not known that their event is in."""
        return sorted(await UncommittedVectors(self.vectors, InlineWorkers()).find(TEXTS))


@pytest.fixture
async def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    """The log after a process has ended in the midst of its first batch; each text is a slice of its own."""
    monkeypatch.setattr(scheduler, "_SLICE_CHARS", 1)
    monkeypatch.setattr(scheduler, "_SLICE_CHARS_ASKED", 1)
    monkeypatch.setattr(uncommitted, "_KEEP_EVERY_S", 0)
    log = FakeLog()
    for text in TEXTS:
        log.publish_event({"text": text})
    process = Process(tmp_path, MortalEmbedder(lives=2), log)
    with pytest.raises(EndedError):
        await process.apply()
    process.vectors.close()
    return log


async def test_the_next_process_computes_only_the_rest(ended: FakeLog, tmp_path: Path) -> None:
    """Of four texts two were computed before the end: two are computed after it, and then none is kept as in hand."""
    embedder = MortalEmbedder(lives=9)
    process = Process(tmp_path, embedder, ended)
    assert await process.kept() == TEXTS[:2]
    await process.apply()
    assert embedder.given == TEXTS[2:]
    assert await process.kept() == []
    process.vectors.close()


async def test_what_left_the_log_meanwhile_is_not_kept(ended: FakeLog, tmp_path: Path) -> None:
    """An event that is gone from the log when the next process comes leaves no vector behind."""
    process = Process(tmp_path, MortalEmbedder(lives=9), ended)
    ended.lose(1)
    await process.apply()
    assert await process.kept() == TEXTS[:1]
    await process.applier.idle()
    assert await process.kept() == []
    process.vectors.close()


async def test_a_fast_batch_writes_nothing_down(tmp_path: Path) -> None:
    """What is committed within the two seconds costs no write besides."""
    log = FakeLog()
    log.publish_event({"text": "a"})
    process = Process(tmp_path, MortalEmbedder(lives=9), log)
    await process.applier.prepare(list(log.messages.values()))
    assert await process.kept() == []
    process.vectors.close()
