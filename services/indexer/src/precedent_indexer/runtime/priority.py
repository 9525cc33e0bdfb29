"""Questions before background work: background work waits here between two of its steps."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

_LATELY_S: Final = 1.0


class QueryPriority:
    """Counts the questions in progress; safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asking = 0
        self._asked_at: float | None = None

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Inside, one question is in progress."""
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
        """Whether a question is in progress, or was within the last second."""
        with self._changed:
            return self._asking > 0 or (self._asked_at is not None and time.monotonic() - self._asked_at < _LATELY_S)

    def let_pass(self, at_most_s: float) -> None:
        """Wait while questions are in progress, at most `at_most_s` seconds; blocks its thread."""
        with self._changed:
            self._changed.wait_for(lambda: self._asking == 0, timeout=at_most_s)


QUESTIONS: Final = QueryPriority()
"""One for the process, since all of its threads share the interpreter."""
