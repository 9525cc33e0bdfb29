"""Many readers or one writer: a change that takes two steps is never seen half done."""

import contextlib
import threading
from collections.abc import Iterator


class ReadWriteLock:
    """Readers pass together; a writer waits for those inside and keeps later ones out until it is done."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writing = False

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Inside, no two-step change is under way."""
        with self._changed:
            while self._writing:
                self._changed.wait()
            self._readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, nobody reads; there is one writer at a time."""
        with self._changed:
            self._writing = True
            while self._readers:
                self._changed.wait()
        try:
            yield
        finally:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
