"""Generations of an index in a Chroma server: what `index.directory.IndexDirectory` is for an embedded index.

Each has a directory here as well, for what a replica keeps for itself while it writes: the note of what is in hand,
computed vectors, files of the model.
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
"""Seconds that a generation stays when another has taken its place: other replicas may be answering from it."""


class SharedGenerations:
    """The generations, as the replica that writes sees them."""

    def __init__(self, path: Path, server: ChromaServer, fence: Fence) -> None:
        """`path`: the directory of this replica alone, made where it is missing."""
        self.path = path
        self._server = server
        self._fence = fence
        self._to_remove: dict[str, float] = {}
        self.renew()

    def renew(self) -> None:
        """Make the directory, where it is missing."""
        self.path.mkdir(parents=True, exist_ok=True)

    def open(self, generation: Path) -> ServedStore:
        """Its store."""
        return self._server.open(generation.name, self._fence)

    def current(self) -> Path | None:
        """The generation in use, if there is one."""
        name = self._server.registry.read().current
        return self._beside(name) if name is not None and name in self._server.generations() else None

    def is_damaged(self) -> bool:
        """Whether one should be in use, and is not there."""
        return self._server.registry.read().current is not None and self.current() is None

    def all(self) -> list[Path]:
        """Every generation that is there and not about to be removed, the oldest first."""
        return [self._beside(name) for name in self._server.generations() if name not in self._to_remove]

    def new(self) -> Path:
        """A fresh, empty generation; not in use yet."""
        self._fence.check()
        number = 1 + max((generation_number(name) for name in self._server.generations()), default=0)
        # Another writer, late or to come, must never mean the same one.
        return self._beside(f"{GENERATION_PREFIX}{number:06d}-{uuid.uuid4().hex[:8]}")

    def switch(self, generation: Path) -> None:
        """Take `generation` into use, in one step.

        Raises:
            StoreUnavailable: the server does not say that it is.
        """
        self._fence.check()
        try:
            self._server.registry.use(self._fence.token, generation.name)
        except StoreUnavailable:
            # The answer may be all that was lost.
            if self._server.registry.read().current != generation.name:
                raise

    def drop(self, generation: Path) -> None:
        """Remove a generation, after a while."""
        self._to_remove.setdefault(generation.name, time.monotonic())

    def drop_others(self, *keep: Path) -> list[str]:
        """Remove every generation but those of `keep`; their names."""
        others = [generation for generation in self.all() if generation not in keep]
        for generation in others:
            self.drop(generation)
        return [generation.name for generation in others]

    def sweep(self) -> None:
        """Remove those whose time has come.

        Raises:
            StoreUnavailable: the server fails just now.
        """
        for name in [name for name, since in self._to_remove.items() if time.monotonic() - since >= _GRACE_S]:
            self._fence.check()
            if self._server.registry.read().current != name:
                self._server.drop(name)
                shutil.rmtree(self.path / name, ignore_errors=True)
                log.info("generation_removed", generation=name)
            del self._to_remove[name]

    def tidy(self) -> None:
        """Forget what this replica kept when it wrote before: another has deleted texts since that are still in it."""
        for generation in self.path.iterdir():
            # The note of what was in hand holds no texts, and tells which message ends whoever touches it.
            for left in generation.iterdir():
                if left.name != CRASH_JOURNAL:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def _beside(self, name: str) -> Path:
        path = self.path / name
        path.mkdir(exist_ok=True)
        return path
