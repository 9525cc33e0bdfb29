"""The directory of the index: one subdirectory for each generation, `CURRENT` that names the one in use.

The directory is locked as a whole by a lock on itself, so that nothing else has to live in it.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Final

from precedent_indexer.errors import StartRefused

_CURRENT: Final = "CURRENT"
_PREFIX: Final = "generation-"


class IndexDirectory:
    """The directory, locked for this process until `close`."""

    def __init__(self, path: Path) -> None:
        """Make the directory where it is missing, and lock it.

        Raises:
            StartRefused: another process has it, or it cannot be made or locked.
        """
        self.path = path.absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StartRefused(
                f"index directory {self.path} cannot be used ({error.strerror}): "
                "set PRECEDENT_CHROMA_PATH to a directory that this user may write"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StartRefused(
                f"index directory {self.path} is in use by another process: one index has one writer; "
                "stop the other one, or set PRECEDENT_CHROMA_PATH to another directory"
            ) from error

    def current(self) -> Path | None:
        """The generation in use, if there is one."""
        try:
            name = (self.path / _CURRENT).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return None
        directory = self.path / name
        return directory if name.startswith(_PREFIX) and "/" not in name and directory.is_dir() else None

    def new(self) -> Path:
        """A fresh, empty generation; not in use yet."""
        numbers = [
            int(entry.name.removeprefix(_PREFIX))
            for entry in self.path.iterdir()
            if entry.name.startswith(_PREFIX) and entry.name.removeprefix(_PREFIX).isdigit()
        ]
        directory = self.path / f"{_PREFIX}{max(numbers, default=0) + 1:06d}"
        directory.mkdir()
        return directory

    def switch(self, generation: Path) -> None:
        """Take `generation` into use, in one step that survives a crash at any moment."""
        # The name is written inside of the generation first: nothing but generations and CURRENT lives up here.
        draft = generation / _CURRENT
        with draft.open("w", encoding="utf-8") as file:
            file.write(generation.name + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / _CURRENT)
        os.fsync(self._lock)

    def drop_others(self, keep: Path) -> list[str]:
        """Remove every generation but `keep`; their names."""
        dropped = []
        for entry in sorted(self.path.iterdir()):
            if entry.is_dir() and entry.name.startswith(_PREFIX) and entry != keep:
                shutil.rmtree(entry, ignore_errors=True)
                dropped.append(entry.name)
        return dropped

    def close(self) -> None:
        """Unlock."""
        os.close(self._lock)
