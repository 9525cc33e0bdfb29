"""Does the index advance? What `stats` and `health` say of it, and what the watchdog goes by."""

import time
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """How the write corridor is, as `stats` says it."""

    SERVING = "serving"
    CATCHING_UP = "catching_up"
    """The index was begun from nothing, and has not yet all that the log had then."""
    STALLED = "stalled"
    """Messages wait and the index does not advance: it was begun anew."""
    MISCONFIGURED = "misconfigured"
    """The settings of a stream or of the consumer were changed to what contradicts a promise."""
    UNAVAILABLE = "unavailable"
    """Something that it depends on fails: that is waited out."""


class Liveness:
    """Signs of life of the write corridor, by a clock that nobody can set."""

    def __init__(self) -> None:
        self.fault: str | None = None
        """What is being waited out, in words that are safe to show."""
        self.contradiction: str | None = None
        """What was changed on the server and contradicts a promise, likewise."""
        self.last_progress_at: datetime | None = None
        """When the watermark moved last in this process."""
        self.stalls = 0
        """Silences that the corridor was begun anew for, since the watermark moved last."""
        self._filled_at = 0
        self._heard = time.monotonic()

    @property
    def state(self) -> State:
        """How the corridor is, in a word."""
        if self.fault is not None:
            return State.UNAVAILABLE
        if self.stalls:
            return State.STALLED
        if self.contradiction is not None:
            return State.MISCONFIGURED
        return State.CATCHING_UP if self._filled_at else State.SERVING

    @property
    def says(self) -> str | None:
        """What keeps all from being well, in words that are safe to show."""
        return self.fault or self.contradiction

    def fill(self, last_seq: int) -> None:
        """The index is empty, and catches up with a log that ends at `last_seq`."""
        self._filled_at = last_seq

    def advance(self, indexed_seq: int) -> None:
        """The watermark moves."""
        if indexed_seq >= self._filled_at:
            self._filled_at = 0
        self.last_progress_at = datetime.now(UTC)
        self.stalls = 0
        self.hear()

    def hear(self) -> None:
        """All is well, though there is nothing to do."""
        self.fault = None
        self._heard = time.monotonic()

    def begin(self) -> None:
        """The corridor begins anew, or is in the midst of long work: silence counts from now."""
        self._heard = time.monotonic()

    def silence_s(self) -> float:
        """Seconds without a sign of life."""
        return time.monotonic() - self._heard
