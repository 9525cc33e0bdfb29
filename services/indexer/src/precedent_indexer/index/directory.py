"""The directory of the index: a subdirectory for each generation, and the file `CURRENT` that names the one in use.

The lock is on the directory itself, so that no lock file is needed.
"""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

import structlog

from precedent_indexer.errors import StartRefused
from precedent_indexer.index.layout import CURRENT, GENERATION_PREFIX, generation_number

log = structlog.get_logger(__name__)


class IndexDirectory:
    """The directory, locked for this process until `close`."""

    def __init__(self, path: Path) -> None:
        """Create the directory if it is missing, and lock it.

        Raises:
            StartRefused: another process has locked it, or it cannot be created or locked.
        """
        self.path = path.absolute()
        self._lock = _made_and_locked(self.path)

    def renew(self) -> None:
        """Create and lock the directory again if it was deleted or replaced since.

        Raises:
            StartRefused: as in the constructor.
        """
        if not is_still(self.path, os.fstat(self._lock)):
            lock = _made_and_locked(self.path)
            os.close(self._lock)
            self._lock = lock

    def current(self) -> Path | None:
        """The generation in use; None if there is none."""
        return current_generation(self.path)

    @property
    def lock(self) -> int:
        """File descriptor of the lock: a child process that inherits it keeps the directory locked."""
        return self._lock

    def is_damaged(self) -> bool:
        """Whether there is a CURRENT that names no existing generation."""
        return os.path.lexists(self.path / CURRENT) and self.current() is None

    def all(self) -> list[Path]:
        """Every generation, the oldest first."""
        found = (entry for entry in self.path.iterdir() if entry.is_dir() and entry.name.startswith(GENERATION_PREFIX))
        return sorted(found, key=lambda entry: (generation_number(entry.name), entry.name))

    def new(self) -> Path:
        """Create an empty generation, which is not in use yet."""
        number = 1 + max((generation_number(one.name) for one in self.all()), default=0)
        directory = self.path / f"{GENERATION_PREFIX}{number:06d}"
        directory.mkdir()
        return directory

    def switch(self, generation: Path) -> None:
        """Put `generation` into use, atomically: a crash leaves either the old or the new one in use."""
        # Drafted in the generation: the directory of the index holds nothing but generations and CURRENT.
        draft = generation / CURRENT
        with draft.open("w", encoding="utf-8") as file:
            file.write(generation.name + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / CURRENT)
        os.fsync(self._lock)

    def drop(self, generation: Path) -> None:
        """Remove a generation; what cannot be removed now is removed at the next start."""
        shutil.rmtree(generation, ignore_errors=True)
        log.info("generation_removed", generation=generation.name)

    def drop_others(self, *keep: Path) -> list[str]:
        """Remove every generation except those in `keep`; the names of the removed ones."""
        others = [generation for generation in self.all() if generation not in keep]
        for generation in others:
            self.drop(generation)
        return [generation.name for generation in others]

    def close(self) -> None:
        """Unlock."""
        os.close(self._lock)


def moved(setting: Path, path: Path, last: str | None) -> str | None:
    """What to do where a relative setting no longer means the directory of the last start; None where it does.

    Args:
        setting: PRECEDENT_CHROMA_PATH as it was given.
        path: the absolute path that it means in this process.
        last: the absolute path of the last start on this host, where one is known.
    """
    if setting.is_absolute() or last is None or last == str(path):
        return None
    return (
        f"PRECEDENT_CHROMA_PATH={setting} is relative: it means {path} from here, and meant {last} at the last start; "
        f"to go on with that index, stop and set PRECEDENT_CHROMA_PATH={last}"
    )


def is_still(path: Path, found: os.stat_result) -> bool:
    """Whether the file or directory at `path` is the one that was `found` there earlier."""
    try:
        return os.path.samestat(path.stat(), found)
    except (FileNotFoundError, NotADirectoryError):
        return False


def current_generation(path: Path) -> Path | None:
    """The generation in use of the index in `path`, even if another process has locked it; None if there is none."""
    try:
        name = (path / CURRENT).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    directory = path / name
    return directory if name.startswith(GENERATION_PREFIX) and "/" not in name and directory.is_dir() else None


def carry_files(source: Path, target: Path) -> None:
    """Link the files of directory `source` into a new directory `target`; copy those that cannot be linked.

    Raises:
        OSError: the disk is full, or `source` cannot be read; then there is no `target`.
    """
    draft = target.with_name(target.name + ".draft")
    try:
        draft.mkdir()
        for file in sorted(source.iterdir()):
            if file.is_file():
                try:
                    os.link(file, draft / file.name)
                except OSError:
                    shutil.copyfile(file, draft / file.name)
        draft.replace(target)
    except OSError:
        with contextlib.suppress(OSError):
            shutil.rmtree(draft)
        raise


def _made_and_locked(path: Path) -> int:
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StartRefused(
            f"index directory {path} cannot be used ({error.strerror}): "
            "set PRECEDENT_CHROMA_PATH to a directory that this user may write"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StartRefused(
            f"index directory {path} is in use by another process: one index has one writer; "
            "stop the other one, or set PRECEDENT_CHROMA_PATH to another directory"
        ) from error
    unwritable = _unwritable(path)
    if unwritable is not None:
        os.close(lock)
        raise StartRefused(
            f"index directory {path} cannot be used: this user may not write {unwritable}; give the directory and "
            "all in it to this user, or set PRECEDENT_CHROMA_PATH to a directory that this user may write"
        )
    return lock


def _unwritable(path: Path) -> Path | None:
    """What may not be written of the directory and of the generation in use; None if all may be."""
    current = current_generation(path)
    for one in (path, *((current, *current.rglob("*")) if current else ())):
        if not os.access(one, os.W_OK | os.X_OK if one.is_dir() else os.W_OK) and one.exists():
            return one
    return None
