"""Questions go first: what works in the background looks here between two of its parts."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

_LATELY_S: Final = 1.0


class QueryPriority:
    """How many questions are worked on; safe between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asking = 0
        self._asked_at: float | None = None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """A question is worked on within."""
        with self._changed:
            self._asking += 1
        try:
            yield
        finally:
            with self._changed:
                self._asking -= 1
                self._asked_at = time.monotonic()
                self._changed.notify_all()

    @property
    def asked_lately(self) -> bool:
        """Whether somebody asks, or did a moment ago and is likely to again."""
        with self._changed:
            return self._asking > 0 or (self._asked_at is not None and time.monotonic() - self._asked_at < _LATELY_S)

    def let_pass(self, at_most_s: float) -> None:
        """Wait while questions are worked on; blocks its thread, for `at_most_s` seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: self._asking == 0, timeout=at_most_s)


QUESTIONS: Final = QueryPriority()
"""Of this process: whatever holds the interpreter holds it from all of them."""
