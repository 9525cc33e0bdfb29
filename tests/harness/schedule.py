"""Which mishap comes next in the soak: at random, and so that the index gets to the end of the log all the same."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

GROWTH: Final = 1.6
"""How much longer the log is at a mishap after which it is read again than it was at the one before.

So what is read again is at most 1 / (1 - 1 / GROWTH) of the log, however long the soak and however slow the machine.
"""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What can happen.

    Attributes:
        do: makes it happen.
        weight: how often among the others.
        rereads: much of the log is read again after it.
    """

    do: Callable[[], Awaitable[None]]
    weight: int = 1
    rereads: bool = False


class Schedule:
    """Draws names of mishaps.

    Those after which the log is read again come in turns, each of them once before any comes twice: one is due when
    the index has caught up since the last, and the log has grown. All others come at random.

    Args:
        mishaps: by name.
        dice: what is random.
        first_at: length of the log at which the first is due after which it is read again.
    """

    def __init__(self, mishaps: Mapping[str, Mishap], dice: random.Random, first_at: int) -> None:
        self._dice = dice
        self._names = [name for name, one in mishaps.items() if not one.rereads]
        self._weights = [mishaps[name].weight for name in self._names]
        self._rereading = [name for name, one in mishaps.items() if one.rereads]
        self._turn: list[str] = []
        self._due_at: float = first_at

    def draw(self, log_length: int, *, caught_up: bool) -> str:
        """The name of the next one."""
        if log_length < self._due_at or not caught_up:
            return self._dice.choices(self._names, self._weights)[0]
        self._due_at = GROWTH * log_length
        if not self._turn:
            self._turn = self._dice.sample(self._rereading, len(self._rereading))
        return self._turn.pop()
