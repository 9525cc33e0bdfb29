"""An exclusive lock on a generation, across processes: for writes to its files, and for copies of them.

The store's graph is written in place, so a copy during a write would be torn. The lock is on the directory of the
generation; the kernel releases it when its holder ends.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOOK_EVERY_S: Final = 0.002
"""Shorter than the pause between two writes of a busy indexer."""


@contextlib.contextmanager
def exclusive_lock(generation: Path, patience_s: float | None = None) -> Iterator[None]:
    """Inside, no other holder of the lock changes the files of `generation`; not reentrant.

    Args:
        generation: its directory.
        patience_s: most seconds to wait; None waits without a limit.

    Raises:
        TimeoutError: the lock was not free in time.
        OSError: the directory does not exist.
    """
    # A descriptor of its own: threads that shared one would share the lock.
    descriptor = os.open(generation, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if patience_s is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _wait(descriptor, generation, patience_s)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, generation: Path, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise TimeoutError(f"{generation} is being written without a pause for {patience_s:g} s") from error
            time.sleep(_LOOK_EVERY_S)
        else:
            return
