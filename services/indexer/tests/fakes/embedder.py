"""An embedder without a model, for tests of everything around it."""

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import ModelInfo
from precedent_indexer.domain.ports import Embedder
from precedent_indexer.embedding.model_files import DIMENSIONS
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.observability.metrics import discard_metrics

_WORD = re.compile(r"\w+")


class FakeEmbedder:
    """Hashed bag of words: texts that share words are alike, and nothing else is known of meaning."""

    def __init__(self, fingerprint: str = "fake") -> None:
        self._model = ModelInfo("fake", fingerprint, DIMENSIONS, "hashed bag of words")

    @property
    def model(self) -> ModelInfo:
        """The model; give another fingerprint to play a change of model."""
        return self._model

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts: float32 (texts, 384), unit rows in the order given."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            vector[0] = 0.01  # a text without words has a direction too
            for word in _WORD.findall(text.lower()):
                digest = hashlib.sha256(word.encode("utf-8", "replace")).digest()
                vector[int.from_bytes(digest[:4], "big") % DIMENSIONS] += 1.0 if digest[4] % 2 else -1.0
        normalised: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return normalised


def embedding_of(embedder: Embedder, cache_entries: int = 0) -> Embedding:
    """The room over an embedder, in the event loop's own thread; without a cache unless asked for one."""
    return Embedding(
        events=embedder,
        questions=embedder,
        workers=InlineWorkers(),
        cache_entries=cache_entries,
        metrics=discard_metrics(),
    )
