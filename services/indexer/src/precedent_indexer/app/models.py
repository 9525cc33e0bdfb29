"""The model that is installed, and the one that made an older index.

Each has a session for events, and another for questions, which must not wait behind them.
"""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog

from precedent_indexer import __version__
from precedent_indexer.adapters.model.embedder import MiniLmEmbedder
from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR, ModelError
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.errors import StartRefused
from precedent_indexer.index.generations import Generation
from precedent_indexer.index.layout import MODEL_FILES
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.threads import Workers
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

_MAX_THREADS: Final = 4
"""Threads of one embedding; more of them only wait for each other on texts as short as events."""


class Models:
    """Embeddings by the generation that they are for."""

    def __init__(self, settings: Settings, workers: Workers, metrics: Metrics) -> None:
        """Load the model that is installed.

        Raises:
            StartRefused: it cannot be used.
        """
        self._settings = settings
        self._workers = workers
        self.metrics = metrics
        """What the embeddings are counted in."""
        self.files = settings.precedent_model_path or DEFAULT_MODEL_DIR
        """Where the installed one is."""
        try:
            self.installed = self._load(self.files)
        except ModelError as error:
            raise StartRefused(f"the model cannot be used: {error}") from error
        metrics.build.info({"version": __version__})
        metrics.model.info({name: str(value) for name, value in asdict(self.installed.model).items()})
        self._carried: Embedding | None = None

    def of(self, index: Generation) -> Embedding | None:
        """What computes vectors that can be compared with those of `index`; None where that model is not here."""
        fingerprint = index.identity.fingerprint
        for known in (self.installed, self._carried):
            if known is not None and known.model.fingerprint == fingerprint:
                return known
        try:
            carried = self._load(index.path / MODEL_FILES)
        except ModelError as error:
            log.warning("old_model_missing", fingerprint=fingerprint, detail=str(error))
            return None
        if carried.model.fingerprint != fingerprint:
            return None
        self._carried = carried
        return carried

    @property
    def cache_entries(self) -> int:
        """Texts whose vector is in memory."""
        return sum(len(one.cache) for one in (self.installed, self._carried) if one is not None)

    def let_go(self) -> None:
        """The model of an older index is not needed any more."""
        self._carried = None

    def _load(self, directory: Path) -> Embedding:
        events, questions = open_sessions(self._settings, directory)
        return Embedding(
            events=events,
            questions=questions,
            workers=self._workers,
            cache_entries=self._settings.precedent_embedding_cache,
            metrics=self.metrics,
        )


def open_sessions(settings: Settings, directory: Path) -> tuple[MiniLmEmbedder, MiniLmEmbedder]:
    """The model in `directory`: a session for events, and one for questions.

    Raises:
        ModelError: it cannot be used.
    """
    threads = settings.precedent_embed_threads or min(_MAX_THREADS, os.cpu_count() or 1)
    runtime = settings.precedent_runtime
    return (
        MiniLmEmbedder.open(directory, threads=threads, runtime=runtime),
        MiniLmEmbedder.open(directory, threads=threads, runtime=runtime, questions=True),
    )
