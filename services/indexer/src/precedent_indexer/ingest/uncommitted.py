"""Vectors of a batch that is not committed yet, kept on disk while embedding is slow.

A process that ends in the midst of a batch computes only the rest of it again. What is committed is in the index and is
not kept here any longer.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from precedent_indexer.domain.index_state import Vector
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.runtime.threads import Workers

_KEEP_EVERY_S: Final = 2.0
"""Seconds of embedding after which what is computed is written down: a fast batch is committed before."""
_UNCOMMITTED: Final = ""
"""In the place of a collection, which always has a name."""


class UncommittedVectors:
    """The vectors of the batches in hand, in the vector file of the generation."""

    def __init__(self, vectors: VectorFile, workers: Workers) -> None:
        self._vectors = vectors
        self._workers = workers
        self._unwritten: dict[str, Vector] = {}
        self._written: set[str] = set()
        self._written_at = time.monotonic()
        self._is_clear = False

    async def keep(self, computed: Mapping[str, Vector]) -> None:
        """Take what was computed; it is written down at most every two seconds."""
        self._unwritten |= computed
        now = time.monotonic()
        if now - self._written_at >= _KEEP_EVERY_S:
            self._written_at = now
            writing, self._unwritten = self._unwritten, {}
            self._written |= writing.keys()
            await self._workers.write(self._vectors.keep, _UNCOMMITTED, writing)

    async def find(self, texts: Sequence[str]) -> dict[str, Vector]:
        """The vectors of those texts that this process, or the one before, has written down."""
        found = await self._workers.read(self._vectors.find, _UNCOMMITTED, texts)
        self._written |= found.keys()
        return found

    async def settle(self, texts: Collection[str]) -> None:
        """The events of these texts are committed, or refused."""
        for text in texts:
            self._unwritten.pop(text, None)
        settled = self._written.intersection(texts)
        if settled:
            self._written -= settled
            await self._workers.write(self._vectors.forget, _UNCOMMITTED, settled)

    async def clear(self) -> None:
        """Nothing is in hand: what an earlier process has left, whose event is not in the log any more, goes too."""
        if not self._is_clear:
            await self._workers.write(self._vectors.forget_all, _UNCOMMITTED)
            self._is_clear = True
