"""What each deletion removed, for whoever asked for it: one record for all generations of the index."""

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 1_000


class DeletionResults:
    """By the sequence of the deletion; the latest thousand."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, list[str] | int] = OrderedDict()

    def note(self, seq: int, removed: list[str] | int) -> None:
        """The deletion at `seq` removed these events, or so many."""
        self._of[seq] = removed
        if len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)

    def of(self, seq: int) -> list[str] | int | None:
        """What the deletion at `seq` removed (ids, or how many), once it is applied."""
        return self._of.get(seq)
