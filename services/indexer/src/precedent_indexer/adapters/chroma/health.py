"""Failure statistics of a store: repeated failures, and whether its disk was full."""

import threading
import time
from typing import Final

FULL: Final = ("disk is full", "no space left", "disk full")
"""Phrases in the messages of SQLite and of the operating system."""


class Symptoms:
    """Failures of one store, by the description of the call; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failing: dict[str, tuple[int, float]] = {}
        self._full = False
        self._wrote_since = False

    def worked(self, what: str, *, wrote: bool) -> None:
        """Count a success of the call `what`."""
        if self._failing or self._full:
            with self._lock:
                self._failing.pop(what, None)
                self._wrote_since = self._wrote_since or (wrote and self._full)

    def failed(self, what: str, detail: str) -> None:
        """Count a failure of the call `what`, with the store's message."""
        with self._lock:
            times, since = self._failing.get(what, (0, time.monotonic()))
            self._failing[what] = (times + 1, since)
            if any(words in detail.lower() for words in FULL):
                self._full, self._wrote_since = True, False

    def last(self, times: int, seconds: float) -> bool:
        """Whether one call has failed at least `times` times in a row, for at least `seconds` seconds."""
        now = time.monotonic()
        with self._lock:
            return any(count >= times and now - since >= seconds for count, since in self._failing.values())

    @property
    def disk_is_full(self) -> bool:
        """Whether the disk was full, and no write has succeeded since."""
        return self._full and not self._wrote_since

    @property
    def disk_was_full(self) -> bool:
        """Whether the disk was full and a write has succeeded since: what the files hold is uncertain."""
        return self._full and self._wrote_since
