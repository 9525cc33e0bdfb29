"""Whether the index advances: the state that `stats` and `health` report, and the supervisor's stall detection."""

import time
from datetime import UTC, datetime
from enum import StrEnum


class State(StrEnum):
    """State of the ingest, as `stats` reports it."""

    SERVING = "serving"
    CATCHING_UP = "catching_up"
    """The index was begun empty, and has not yet reached the end that the log had then."""
    STALLED = "stalled"
    """Messages wait and the index does not advance: the pipeline was restarted."""
    MISCONFIGURED = "misconfigured"
    """The settings of a stream or of the consumer were changed, and contradict the contract."""
    UNAVAILABLE = "unavailable"
    """A dependency fails: the supervisor retries."""


class Liveness:
    """Signs of life of the ingest, by a monotonic clock."""

    def __init__(self) -> None:
        self.fault: str | None = None
        """The fault that is being retried, in words that every caller may see; None if there is none."""
        self.contradiction: str | None = None
        """Changed settings on the server that contradict the contract, likewise; None if there are none."""
        self.last_progress_at: datetime | None = None
        """When the watermark last moved in this process."""
        self.stalls = 0
        """Restarts of the pipeline after a stall, since the watermark last moved."""
        self._filled_at = 0
        self._heard = time.monotonic()

    @property
    def state(self) -> State:
        """State of the ingest."""
        if self.fault is not None:
            return State.UNAVAILABLE
        if self.stalls:
            return State.STALLED
        if self.contradiction is not None:
            return State.MISCONFIGURED
        return State.CATCHING_UP if self._filled_at else State.SERVING

    @property
    def says(self) -> str | None:
        """The fault or the contradiction, in words that every caller may see; None if there is none."""
        return self.fault or self.contradiction

    def fill(self, last_seq: int) -> None:
        """Note that the index is empty and catches up with a log that ends at `last_seq`."""
        self._filled_at = last_seq

    def advance(self, indexed_seq: int) -> None:
        """Note that the watermark has moved to `indexed_seq`."""
        if indexed_seq >= self._filled_at:
            self._filled_at = 0
        self.last_progress_at = datetime.now(UTC)
        self.stalls = 0
        self.hear()

    def hear(self) -> None:
        """Note that the ingest works, even if there is nothing to do."""
        self.fault = None
        self._heard = time.monotonic()

    def begin(self) -> None:
        """Note that the pipeline was restarted, or is within a long step: silence counts from now."""
        self._heard = time.monotonic()

    def silence_s(self) -> float:
        """Seconds without a sign of life."""
        return time.monotonic() - self._heard
