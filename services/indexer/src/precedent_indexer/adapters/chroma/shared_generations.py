"""The generations of an index on a Chroma server, as the replica that writes sees them.

Each also has a local directory for what the writer keeps beside the store: the crash journal, computed vectors, files
of the model.
"""

import shutil
import time
import uuid
from pathlib import Path
from typing import Final

import structlog

from precedent_indexer.adapters.chroma.server import ChromaServer, ServedStore
from precedent_indexer.domain.writers import Fence
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.layout import CRASH_JOURNAL, GENERATION_PREFIX, generation_number

log = structlog.get_logger(__name__)

_GRACE_S: Final = 15.0
"""Seconds that a replaced generation is kept, since other replicas may be answering from it."""


class SharedGenerations:
    """`Generations` on a server."""

    def __init__(self, path: Path, server: ChromaServer, fence: Fence) -> None:
        """`path`: local directory of this replica, created if it is missing."""
        self.path = path
        self._server = server
        self._fence = fence
        self._to_remove: dict[str, float] = {}
        self.renew()

    def renew(self) -> None:
        """Create the local directory if it is missing."""
        self.path.mkdir(parents=True, exist_ok=True)

    def open(self, generation: Path) -> ServedStore:
        """The store of a generation."""
        return self._server.open(generation.name, self._fence)

    def current(self) -> Path | None:
        """The generation in use; None if there is none."""
        name = self._server.registry.read().current
        return self._beside(name) if name is not None and name in self._server.generations() else None

    def is_damaged(self) -> bool:
        """Whether the generation that should be in use is missing."""
        return self._server.registry.read().current is not None and self.current() is None

    def all(self) -> list[Path]:
        """Every generation that is not about to be removed, the oldest first."""
        return [self._beside(name) for name in self._server.generations() if name not in self._to_remove]

    def new(self) -> Path:
        """Create an empty generation, which is not in use yet."""
        self._fence.check()
        number = 1 + max((generation_number(name) for name in self._server.generations()), default=0)
        # The suffix keeps a late writer from using the same name.
        return self._beside(f"{GENERATION_PREFIX}{number:06d}-{uuid.uuid4().hex[:8]}")

    def switch(self, generation: Path) -> None:
        """Put `generation` into use, atomically.

        Raises:
            StoreUnavailable: the server does not confirm it.
        """
        self._fence.check()
        try:
            self._server.registry.use(self._fence.token, generation.name)
        except StoreUnavailable:
            # Perhaps only the answer was lost.
            if self._server.registry.read().current != generation.name:
                raise

    def drop(self, generation: Path) -> None:
        """Mark a generation for removal after a while."""
        self._to_remove.setdefault(generation.name, time.monotonic())

    def drop_others(self, *keep: Path) -> list[str]:
        """Mark every generation except those in `keep` for removal; their names."""
        others = [generation for generation in self.all() if generation not in keep]
        for generation in others:
            self.drop(generation)
        return [generation.name for generation in others]

    def sweep(self) -> None:
        """Remove marked generations whose grace period is over.

        Raises:
            StoreUnavailable: the server fails.
        """
        for name in [name for name, since in self._to_remove.items() if time.monotonic() - since >= _GRACE_S]:
            self._fence.check()
            if self._server.registry.read().current != name:
                self._server.drop(name)
                shutil.rmtree(self.path / name, ignore_errors=True)
                log.info("generation_removed", generation=name)
            del self._to_remove[name]

    def tidy(self) -> None:
        """Remove the local files of an earlier term: other writers have deleted texts since that they still hold."""
        for generation in self.path.iterdir():
            # The crash journal has no texts, and identifies a message that crashes the process.
            for left in generation.iterdir():
                if left.name != CRASH_JOURNAL:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _beside(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path
