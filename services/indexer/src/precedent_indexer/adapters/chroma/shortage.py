"""Distinguishes a broken index from a shortage of files, memory, threads, disk space or permissions.

Chroma raises the same errors for both, some without a message. So the message is searched first, and then the process
is tested: whether it can open files, allocate memory, start a thread and write to the directory.
"""

import mmap
import os
import threading
from pathlib import Path
from typing import Final

from precedent_indexer.adapters.chroma.health import FULL

FILES: Final = "too few open files are allowed: raise the limit (`ulimit -Hn`)"
MEMORY: Final = "there is too little memory: raise the limit of the process or of its container"
THREADS: Final = "no further thread may be started: raise the limit of processes (`ulimit -u`, pids of a container)"
ROOM: Final = "the disk is full: free some room"
PERMISSION: Final = "its files may not be read and written: give them to the user that the indexer runs as"

_WORDS: Final = {
    "too many open files": FILES,
    "cannot allocate memory": MEMORY,
    "out of memory": MEMORY,
    "memory allocation of": MEMORY,
    "memoryerror": MEMORY,
    "failed to map segment": MEMORY,
    "threadpoolbuilderror": THREADS,
    "can't start new thread": THREADS,
    "resource temporarily unavailable": THREADS,
    **dict.fromkeys(FULL, ROOM),
    "disk quota exceeded": ROOM,
    "permission denied": PERMISSION,
    "operation not permitted": PERMISSION,
    "readonly database": PERMISSION,
    "read-only file system": PERMISSION,
}
_FILES_TRIED: Final = 16
_BYTES_TRIED: Final = 64 * 1024 * 1024


def named(said: str) -> str | None:
    """The shortage that the message of an error names; None if it names none."""
    said = said.lower()
    return next((shortage for words, shortage in _WORDS.items() if words in said), None)


def shortage(error: BaseException, directory: Path) -> str | None:
    """What this process lacks, after `error` over the files in `directory`; None if it lacks nothing."""
    chain: BaseException | None = error
    while chain is not None:
        found = MEMORY if isinstance(chain, MemoryError) else named(str(chain))
        if found is not None:
            return found
        chain = chain.__cause__ or chain.__context__
    return _lacking(directory)


def _lacking(directory: Path) -> str | None:
    if not _can_open_files():
        return FILES
    try:
        mmap.mmap(-1, _BYTES_TRIED).close()
    except OSError:
        return MEMORY
    try:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    except RuntimeError:
        return THREADS
    try:
        if os.statvfs(directory).f_bavail == 0:
            return ROOM
        mine = [directory, *directory.glob("*"), *directory.glob("*/*")]
    except OSError as error:
        return named(str(error))
    return None if all(os.access(path, os.R_OK | os.W_OK) for path in mine) else PERMISSION


def _can_open_files() -> bool:
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_FILES_TRIED))
    except OSError:
        return False
    finally:
        for one in opened:
            os.close(one)
    return True
