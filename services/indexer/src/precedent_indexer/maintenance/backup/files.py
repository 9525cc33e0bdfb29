"""Files copied and sealed: what a backup and a restore do to a disk."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from precedent_indexer.embedding.model_files import sha256_of

Told = Callable[[int], None]
"""Takes bytes that were copied just now; whatever it raises ends the copy."""

_CHUNK_BYTES: Final = 4 << 20
_PAGES: Final = 1024
"""Pages of a database that are copied between two words about it."""


def files_in(directory: Path) -> list[str]:
    """Every file below `directory`, by its path from there, sorted."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def copy_file(source: Path, target: Path, told: Told) -> None:
    """Copy a file to where there is none yet, with the directories above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as read, target.open("xb") as written:
        while chunk := read.read(_CHUNK_BYTES):
            written.write(chunk)
            told(len(chunk))


@contextlib.contextmanager
def pinned(database: Path) -> Iterator[sqlite3.Connection]:
    """A database as it is when the block begins, whatever other processes write to it within.

    Never of a database that this process has open by another library: closing it would take that one's locks away.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN")
        # The moment is that of the first read.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield connection


def copy_database(source: sqlite3.Connection, target: Path, told: Told) -> None:
    """Copy a pinned database.

    Raises:
        sqlite3.Error: it cannot be.
    """
    (page_bytes,) = source.execute("PRAGMA page_size").fetchone()
    left: int | None = None

    def progress(_status: int, remaining: int, total: int) -> None:
        nonlocal left
        told(((total if left is None else left) - remaining) * page_bytes)
        left = remaining

    with contextlib.closing(sqlite3.connect(target)) as copy:
        source.backup(copy, pages=_PAGES, progress=progress)


def seal(file: Path) -> str:
    """Bring a file to the disk; its SHA-256, in hex."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    return sha256_of(file)


def sync_directories(top: Path) -> None:
    """Bring to the disk which files are in `top` and below."""
    for directory in [top, *(path for path in top.rglob("*") if path.is_dir())]:
        sync_directory(directory)


def sync_directory(directory: Path) -> None:
    """Bring to the disk which files are in one directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
