"""Who writes the files of a generation, and who copies them: one at a time, across processes.

The store's graph is written in place, so a copy that is taken meanwhile is torn. Whoever changes the files, or must
have them unchanged, takes a turn: a lock on the directory of the generation, which the kernel gives back when its
holder ends, however it ends.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LOOK_EVERY_S: Final = 0.002
"""Shorter than what lies between two writes of a busy indexer."""


@contextlib.contextmanager
def exclusive_lock(generation: Path, patience_s: float | None = None) -> Iterator[None]:
    """Inside, nobody else who takes turns changes the files of `generation`; not to be nested.

    Args:
        generation: its directory.
        patience_s: seconds to wait; None for as long as it takes.

    Raises:
        TimeoutError: it was not our turn in time.
        OSError: there is no such directory.
    """
    # A descriptor for each turn: threads that shared one would share the lock.
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
