"""The vectors of the texts that were embedded or asked for last, in memory."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from precedent_indexer.domain.index_state import Vector
from precedent_indexer.observability.metrics import Metrics


@dataclass(slots=True)
class CacheStats:
    """Lookups that found a vector, and that did not."""

    hits: int = 0
    misses: int = 0


class VectorCache:
    """Least-recently-used cache of vectors, keyed by a digest of the text and the model's fingerprint."""

    def __init__(self, entries: int, fingerprint: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._entries = entries
        self._salt = fingerprint.encode()
        self._vectors: OrderedDict[bytes, Vector] = OrderedDict()
        self.stats = CacheStats()

    def __len__(self) -> int:
        return len(self._vectors)

    def __contains__(self, text: str) -> bool:
        return self._key(text) in self._vectors

    def get(self, text: str) -> Vector | None:
        """The vector of `text`; None if it is not cached."""
        key = self._key(text)
        vector = self._vectors.get(key)
        if vector is None:
            self.stats.misses += 1
            self._metrics.cache_misses.inc()
            return None
        self.stats.hits += 1
        self._metrics.cache_hits.inc()
        self._vectors.move_to_end(key)
        return vector

    def put(self, text: str, vector: Vector) -> None:
        """Add a vector; if the cache is full, the one used longest ago is dropped."""
        self._vectors[self._key(text)] = vector
        while len(self._vectors) > self._entries:
            self._vectors.popitem(last=False)

    def forget(self, texts: Iterable[str]) -> None:
        """Drop the vectors of these texts, which were deleted."""
        for text in texts:
            self._vectors.pop(self._key(text), None)

    def clear(self) -> None:
        """Drop every vector."""
        self._vectors.clear()

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._salt[:64], digest_size=16).digest()
