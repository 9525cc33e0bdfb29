"""One run: its sizes, its folder, what it tells on the way, and what several parts share."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from load.results import Machine
from load.sizes import Sizes

T = TypeVar("T")


class Session:
    """Handed to every part.

    Attributes:
        folder: for stores and logs; the run removes it at its end.
        runtime: what computes the model in the indexer, once an indexer was asked.
    """

    def __init__(self, sizes: Sizes, machine: Machine, folder: Path, console: Console) -> None:
        self.sizes = sizes
        self.machine = machine
        self.folder = folder
        self.runtime = ""
        self._console = console
        self._began = time.monotonic()
        self._known: dict[str, Any] = {}

    def say(self, line: str) -> None:
        """One line of progress, with the seconds since the run began."""
        self._console.print(f"[dim]{time.monotonic() - self._began:7.1f} s[/dim]  {line}", highlight=False)

    def room(self, name: str) -> Path:
        """A fresh folder."""
        folder = self.folder / f"{len(list(self.folder.iterdir())):02d}-{name}"
        folder.mkdir()
        return folder

    async def once(self, key: str, measure: Callable[["Session"], Awaitable[T]]) -> T:
        """Measured at the first call in this run, and remembered."""
        if key not in self._known:
            self._known[key] = await measure(self)
        known: T = self._known[key]
        return known
