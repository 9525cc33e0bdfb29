"""Vectors of batches that are not committed yet, kept on disk while embedding is slow.

After a crash within a batch, only the rest of the batch is embedded again. Vectors of committed batches are removed
here, since the index has them.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from precedent_indexer.domain.index_state import Vector
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.runtime.threads import Workers

_KEEP_EVERY_S: Final = 2.0
"""Seconds of embedding after which the vectors are written; a fast batch is committed before."""
_UNCOMMITTED: Final = ""
"""Stands for the collection in the vector file; no collection has an empty name."""


class UncommittedVectors:
    """Vectors of the batches in flight, in the vector file of the generation."""

    def __init__(self, vectors: VectorFile, workers: Workers) -> None:
        self._vectors = vectors
        self._workers = workers
        self._unwritten: dict[str, Vector] = {}
        self._written: set[str] = set()
        self._written_at = time.monotonic()
        self._is_clear = False

    async def keep(self, computed: Mapping[str, Vector]) -> None:
        """Add computed vectors, which are written at most every two seconds."""
        self._unwritten |= computed
        now = time.monotonic()
        if now - self._written_at >= _KEEP_EVERY_S:
            self._written_at = now
            writing, self._unwritten = self._unwritten, {}
            self._written |= writing.keys()
            await self._workers.write(self._vectors.keep, _UNCOMMITTED, writing)

    async def find(self, texts: Sequence[str]) -> dict[str, Vector]:
        """The written vectors of these texts, by this process or by an earlier one."""
        found = await self._workers.read(self._vectors.find, _UNCOMMITTED, texts)
        self._written |= found.keys()
        return found

    async def settle(self, texts: Collection[str]) -> None:
        """Remove the vectors of texts whose events are committed or refused."""
        for text in texts:
            self._unwritten.pop(text, None)
        settled = self._written.intersection(texts)
        if settled:
            self._written -= settled
            await self._workers.write(self._vectors.forget, _UNCOMMITTED, settled)

    async def clear(self) -> None:
        """Remove every vector, even those of an earlier process, since no batch is in flight."""
        if not self._is_clear:
            await self._workers.write(self._vectors.forget_all, _UNCOMMITTED)
            self._is_clear = True
