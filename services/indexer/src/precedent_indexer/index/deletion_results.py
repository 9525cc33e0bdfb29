"""What each deletion removed, for the reply to its caller; one record for all generations of the index."""

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 1_000


class DeletionResults:
    """Results by the sequence of the deletion, the latest thousand."""

    def __init__(self) -> None:
        self._of: OrderedDict[int, list[str] | int] = OrderedDict()

    def note(self, seq: int, removed: list[str] | int) -> None:
        """Record what the deletion at `seq` removed: ids, or a number of events."""
        self._of[seq] = removed
        if len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)

    def of(self, seq: int) -> list[str] | int | None:
        """What the deletion at `seq` removed: ids, or a number of events; None if it is not applied yet."""
        return self._of.get(seq)
