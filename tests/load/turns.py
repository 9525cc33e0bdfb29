"""Two processes that are compared take turns of a few seconds: both meet the same other guests of the machine."""

import asyncio
import time
from pathlib import Path
from typing import Final, Protocol

from harness.child_process import ChildProcess

TURN_S: Final = 3.0
_POLL_S: Final = 0.02


class Pausable(Protocol):
    """A process that can be frozen (SIGSTOP) and continued."""

    def pause(self) -> None:
        """Freeze it."""

    def resume(self) -> None:
        """Continue it; nothing where it is not frozen."""


class OwnClock:
    """Seconds since it was made, less those in which its process was frozen."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._frozen_since: float | None = None

    def now(self) -> float:
        """Seconds so far."""
        return (time.perf_counter() if self._frozen_since is None else self._frozen_since) - self._began

    def stop(self) -> None:
        """Its process was frozen."""
        self._frozen_since = time.perf_counter()

    def go(self) -> None:
        """Its process goes on."""
        if self._frozen_since is not None:
            self._began += time.perf_counter() - self._frozen_since
            self._frozen_since = None


class Other:
    """The other process: it writes into a file how much it has done, and is frozen outside its turns.

    Attributes:
        count: how much it has to do.
    """

    def __init__(self, process: ChildProcess, done: Path, count: int) -> None:
        self.count = count
        self._process = process
        self._done = done
        self._before = 0
        self._clock = OwnClock()

    async def ready(self) -> None:
        """Until it may begin; it is frozen then.

        Raises:
            RuntimeError: it ended before.
        """
        while not self._done.exists():
            if not self._process.running:
                raise RuntimeError(f"{self._process.name} ended before it began:\n{self._process.log_tail()}")
            await asyncio.sleep(_POLL_S)
        self._process.pause()
        self._before = self.done
        self._clock = OwnClock()
        self._clock.stop()

    @property
    def done(self) -> int:
        """How much it has done."""
        return int(self._done.read_text(encoding="ascii").strip() or 0)

    @property
    def finished(self) -> bool:
        """It has done everything."""
        return self.done >= self.count

    @property
    def rate(self) -> float:
        """Done per second of its own turns."""
        return (self.done - self._before) / self._clock.now()

    async def turn(self, seconds: float) -> None:
        """Let it go on for that long, or until it has done everything."""
        self._process.resume()
        self._clock.go()
        try:
            until = time.perf_counter() + seconds
            while True:
                await asyncio.sleep(_POLL_S)
                if self.finished or time.perf_counter() > until:
                    break
        finally:
            self._clock.stop()
            if self._process.running:
                self._process.pause()

    def let_go(self) -> None:
        """It may do the rest outside any turn."""
        self._process.resume()


async def in_turns(first: Pausable, clock: OwnClock, other: Other) -> None:
    """Freeze `first` while the other has its turn, until the other has done everything or this is cancelled."""
    while not other.finished:
        await asyncio.sleep(min(TURN_S, max(_POLL_S, other.count / 1_000)))
        first.pause()
        clock.stop()
        try:
            await other.turn(TURN_S)
        finally:
            clock.go()
            first.resume()
