"""Which messages are in hand, written down where it survives the process: what ends it again and again is found out.

Before a batch is touched, its sequences are written down. After an end that was not clean all of these are suspected:
they are handled one at a time from then on, each named alone before it is touched. A message that was named alone at
two such ends is guilty, and is not touched again.

The page cache is enough: it survives the process, and the end of the whole machine is no message's fault.
"""

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

import structlog

from precedent_indexer.errors import StoreUnavailable

log = structlog.get_logger(__name__)

_GUILTY: Final = 2


@dataclass(slots=True)
class _Note:
    """What is written down; ranges are (first, last), (0, 0) where there is none.

    Attributes:
        taken: what is being worked on.
        alone: the suspected message that is being worked on by itself; 0 for none.
        suspected: what was in hand at an end that was not clean.
        blames: at how many such ends a message was named alone.
    """

    taken: tuple[int, int] = (0, 0)
    alone: int = 0
    suspected: tuple[int, int] = (0, 0)
    blames: dict[int, int] = field(default_factory=dict)


class CrashJournal:
    """The note of one generation of the index."""

    def __init__(self, path: Path) -> None:
        """Read what the last process left, and draw the conclusions."""
        self._path = path
        self._note = _read(self._recall())
        self._accuse()

    def suspect(self, seq: int) -> int:
        """`seq` where this message must be handled by itself, otherwise 0."""
        first, last = self._note.suspected
        return seq if first <= seq <= last else 0

    def is_guilty(self, seq: int) -> bool:
        """Whether this message must not be touched again."""
        return self._note.blames.get(seq, 0) >= _GUILTY

    def take(self, first: int, last: int) -> None:
        """What lies from `first` to `last` is about to be touched, or is being worked on already.

        Raises:
            StoreUnavailable: it cannot be written down.
        """
        self._note.taken, self._note.alone = (first, last), 0
        self._keep()

    def take_alone(self, seq: int) -> None:
        """This suspected message is about to be touched, and nothing else is in hand.

        Raises:
            StoreUnavailable: it cannot be written down.
        """
        self._note.taken, self._note.alone = (0, 0), seq
        self._keep()

    def done(self, seq: int) -> None:
        """Everything up to `seq` is in the index, or safely refused."""
        note = self._note
        left = _Note(
            taken=note.taken if note.taken[1] > seq else (0, 0),
            alone=note.alone if note.alone > seq else 0,
            suspected=(max(note.suspected[0], seq + 1), note.suspected[1]) if note.suspected[1] > seq else (0, 0),
            blames={one: times for one, times in note.blames.items() if one > seq},
        )
        if left != note:
            self._note = left
            self._let_go()

    def clear(self) -> None:
        """Nothing is in hand; what is suspected stays so."""
        if self._note.taken != (0, 0) or self._note.alone:
            self._note.taken, self._note.alone = (0, 0), 0
            self._let_go()

    def _accuse(self) -> None:
        # Not written down yet: read once more, the same note leads to the same conclusions.
        note = self._note
        if note.alone:
            note.blames[note.alone] = note.blames.get(note.alone, 0) + 1
            log.warning("message_blamed", seq=note.alone, times=note.blames[note.alone])
        elif note.taken != (0, 0):
            ranges = [one for one in (note.taken, note.suspected) if one != (0, 0)]
            note.suspected = (min(first for first, _ in ranges), max(last for _, last in ranges))
            log.warning("unclean_end", suspected_first=note.suspected[0], suspected_last=note.suspected[1])
        note.taken, note.alone = (0, 0), 0

    def _let_go(self) -> None:
        # A note that names too much only makes its messages suspected for nothing: no reason to stop.
        with contextlib.suppress(StoreUnavailable):
            self._keep()

    def _keep(self) -> None:
        try:
            self._write("" if self._note == _Note() else json.dumps(asdict(self._note)))
        except OSError as error:
            raise StoreUnavailable(f"what is in hand cannot be written to {self._path}: {error.strerror}") from error

    def _recall(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    def _write(self, text: str) -> None:
        if not text:
            self._path.unlink(missing_ok=True)
            return
        draft = self._path.with_suffix(".draft")
        draft.write_text(text, encoding="utf-8")
        draft.replace(self._path)


def _read(text: str) -> _Note:
    """The note in `text`; an empty one where it is none, since nobody can be blamed by it."""
    try:
        found = json.loads(text)
        blames = {int(seq): int(times) for seq, times in found["blames"].items()}
        return _Note(_range(found["taken"]), int(found["alone"]), _range(found["suspected"]), blames)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Note()


def _range(found: list[int]) -> tuple[int, int]:
    first, last = found
    return int(first), int(last)
