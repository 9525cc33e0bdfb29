"""A backup of the index, taken while the indexer goes on: a copy of one moment, looked at before it counts.

The databases are pinned, and the files of the graph copied, in one turn: whoever writes waits meanwhile, and nobody
else. The rest of the work is done afterwards.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from precedent_indexer.domain.index_state import Identity
from precedent_indexer.errors import CommandFailed, IndexBroken, StoreUnavailable
from precedent_indexer.index.directory import current_generation
from precedent_indexer.index.layout import CRASH_JOURNAL, INHERITED_VECTORS, MODEL_FILES, UNFINISHED
from precedent_indexer.maintenance.backup.files import (
    copy_database,
    copy_file,
    files_in,
    pinned,
    sync_directories,
    sync_directory,
)
from precedent_indexer.maintenance.backup.manifest import FILES, Manifest, saved_file, versions, write_manifest
from precedent_indexer.runtime.file_lock import exclusive_lock

ReportBytes = Callable[[str, int, int], None]
"""Takes the phase, bytes done, and bytes in all."""

_ATTEMPTS: Final = 5
_PATIENCE_S: Final = 60.0
"""Seconds to wait for a turn, and again as many that it may take: an indexer whose writes wait for longer holds itself
for stalled."""
_STORE: Final = ".sqlite3"
_DATABASES: Final = (_STORE, ".sqlite")
_BESIDE_DATABASES: Final = ("-wal", "-shm", "-journal")
_LEFT_OUT: Final = frozenset({CRASH_JOURNAL, UNFINISHED, INHERITED_VECTORS})
"""Of this very moment of the indexer's work: the copy is at no work."""


class _Changed(Exception):
    """The index was replaced or written while it was copied."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How a generation is looked at: by processes of their own, which have left its files when the call returns.

    Attributes:
        probe: what is wrong with it; None where nothing is.
        describe: what it says of itself, and how many events each of its collections has; raises `IndexBroken` or
            `StoreUnavailable`.
    """

    probe: Callable[[Path], str | None]
    describe: Callable[[Path], tuple[Identity | None, dict[str, int]]]


def back_up(directory: Path, target: Path, looks: Looks, report: ReportBytes) -> Manifest:
    """Copy the index in `directory` to `target`, which is not there, or is empty, until the copy is whole.

    Raises:
        CommandFailed: it cannot be done; nothing is left behind.
    """
    directory, target = directory.absolute(), target.absolute()
    _check(directory, target)
    try:
        with _draft(target) as draft:
            _take(directory, draft / FILES, report)
            manifest = _described(draft / FILES, looks, report)
            write_manifest(draft, manifest)
            _shut_out_others(draft)
            sync_directories(draft)
            # Onto an empty directory too; `target` is whole, or not there.
            draft.rename(target)
            sync_directory(target.parent)
    except OSError as error:
        raise CommandFailed(f"the backup to {target} failed: {error.strerror or error}") from error
    return manifest


def _check(directory: Path, target: Path) -> None:
    if current_generation(directory) is None:
        raise CommandFailed(f"there is no index in {directory}: set PRECEDENT_CHROMA_PATH to the directory of one")
    if target.resolve().is_relative_to(directory.resolve()):
        raise CommandFailed(f"{target} lies in the index itself: name a directory elsewhere, on another disk at best")
    if not target.parent.is_dir():
        raise CommandFailed(f"there is no directory {target.parent}: make or mount it first")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise CommandFailed(f"{target} is there already and not empty: name a directory that is not there")


@contextlib.contextmanager
def _draft(target: Path) -> Iterator[Path]:
    """A directory beside `target`, for its owner alone, which is renamed or removed within."""
    draft = target.with_name(target.name + ".partial")
    with contextlib.suppress(FileExistsError):
        draft.mkdir(mode=0o700)
    descriptor = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise CommandFailed(f"another backup is being written to {draft}: wait for its end") from error
    try:
        # What a backup has left that was killed.
        _empty(draft)
        draft.chmod(0o700)
        yield draft
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    finally:
        os.close(descriptor)


def _take(directory: Path, copy: Path, report: ReportBytes) -> None:
    """Copy the generation in use, as of one moment."""
    reason = ""
    for _ in range(_ATTEMPTS):
        generation = current_generation(directory)
        if generation is None:
            raise CommandFailed(f"the index in {directory} is gone")
        _empty(copy.parent)
        copy.mkdir()
        try:
            _take_generation(generation, copy, report)
            if current_generation(directory) == generation:
                # What is replaced is removed afterwards, never before: so nothing of this one was.
                return
            reason = "another generation took its place"
        except (_Changed, FileNotFoundError) as error:
            reason = str(error)
    raise CommandFailed(f"the index in {directory} changed under each of {_ATTEMPTS} copies: {reason}; try again later")


def _take_generation(generation: Path, copy: Path, report: ReportBytes) -> None:
    names = [name for name in files_in(generation) if _is_wanted(name)]
    total = sum((generation / name).stat().st_size for name in names)
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        report("copying", done, max(total, done))

    try:
        with contextlib.ExitStack() as stack:
            databases: dict[str, sqlite3.Connection] = {}
            with exclusive_lock(generation, _PATIENCE_S):
                # The store first: vectors of what comes later would stay in the copy after their events are deleted.
                for name in sorted(filter(_is_database, names), key=_is_ours):
                    databases[name] = stack.enter_context(pinned(generation / name))
                _take_files(generation, copy, told)
            for name, database in databases.items():
                copy_database(database, copy / name, told)
        for name in names:
            if name.startswith(f"{MODEL_FILES}/"):
                copy_file(generation / name, copy / name, told)
    except TimeoutError as error:
        raise CommandFailed(f"{error}: try again, or stop the indexer for the backup") from error
    except sqlite3.Error as error:
        raise CommandFailed(f"a database in {generation} cannot be copied: {error}") from error


def _take_files(generation: Path, copy: Path, told: Callable[[int], None]) -> None:
    """The files that are neither databases nor the model: the graph, which must not be written meanwhile, and notes."""
    until = time.monotonic() + _PATIENCE_S

    def in_time(count: int) -> None:
        told(count)
        if time.monotonic() > until:
            raise TimeoutError(f"the graph could not be copied in {_PATIENCE_S:g} s, in which nothing is indexed")

    before = _stamps(generation)
    for name in before:
        copy_file(generation / name, copy / name, in_time)
    if _stamps(generation) != before:
        raise _Changed("its graph was written")


def _stamps(generation: Path) -> dict[str, tuple[int, int, int]]:
    """What changes with each change of a file that is copied in the turn."""
    found: dict[str, tuple[int, int, int]] = {}
    for name in files_in(generation):
        if _is_wanted(name) and not _is_database(name) and not name.startswith(f"{MODEL_FILES}/"):
            stat = (generation / name).stat()
            found[name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return found


def _is_wanted(name: str) -> bool:
    return name not in _LEFT_OUT and not name.endswith((*_BESIDE_DATABASES, ".draft"))


def _is_database(name: str) -> bool:
    return name.endswith(_DATABASES)


def _is_ours(database: str) -> bool:
    return not database.endswith(_STORE)


def _described(copy: Path, looks: Looks, report: ReportBytes) -> Manifest:
    """Look at the copy as a start would, and say what is in it.

    Raises:
        CommandFailed: it is not sound.
    """
    broken = looks.probe(copy)
    if broken is not None:
        raise CommandFailed(f"the copy cannot be used: {broken}; the index itself may be broken: run `rebuild`")
    try:
        identity, collections = looks.describe(copy)
    except (IndexBroken, StoreUnavailable) as error:
        raise CommandFailed(f"the copy cannot be used: {error}") from error
    if identity is None:
        raise CommandFailed("the copy cannot be used: it does not say what it is")
    names = [name for name in files_in(copy) if not name.endswith("-shm")]
    total = sum((copy / name).stat().st_size for name in names)
    files = {}
    done = 0
    for name in names:
        files[name] = saved_file(copy / name)
        done += files[name].bytes
        report("sealing", done, total)
    return Manifest(made_at=datetime.now(UTC), made_by=versions(), index=identity, collections=collections, files=files)


def _shut_out_others(draft: Path) -> None:
    """Whoever copies the backup elsewhere keeps what is said here: the text of events is in these files."""
    for path in draft.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
