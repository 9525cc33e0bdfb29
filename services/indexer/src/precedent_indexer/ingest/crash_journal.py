"""The messages in flight, in a file that survives a crash: it identifies a message that crashes the process.

Before a batch is processed, its sequences are recorded. After a crash all of them are suspected: they are processed
one at a time, each recorded alone first. A message that was recorded alone at two crashes is guilty, and is not
processed again.

The file is not synced: the page cache survives a crash of the process, and no message is blamed for a crash of the
machine.
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
    """Content of the file; ranges are (first, last) sequences, (0, 0) if empty.

    Attributes:
        taken: messages in flight.
        alone: the suspected message that is in flight alone; 0 for none.
        suspected: messages that were in flight at a crash.
        blames: number of crashes at which a message was alone in flight, by sequence.
    """

    taken: tuple[int, int] = (0, 0)
    alone: int = 0
    suspected: tuple[int, int] = (0, 0)
    blames: dict[int, int] = field(default_factory=dict)


class CrashJournal:
    """The journal of one generation."""

    def __init__(self, path: Path) -> None:
        """Read what the last process left: messages in flight become suspected."""
        self._path = path
        self._note = _read(self._recall())
        self._accuse()

    def suspect(self, seq: int) -> int:
        """`seq` if this message must be processed alone, otherwise 0: a key that groups a batch."""
        first, last = self._note.suspected
        return seq if first <= seq <= last else 0

    def is_guilty(self, seq: int) -> bool:
        """Whether this message must not be processed again."""
        return self._note.blames.get(seq, 0) >= _GUILTY

    def take(self, first: int, last: int) -> None:
        """Record that the messages from `first` to `last` are in flight.

        Raises:
            StoreUnavailable: the file cannot be written.
        """
        self._note.taken, self._note.alone = (first, last), 0
        self._keep()

    def take_alone(self, seq: int) -> None:
        """Record that this suspected message is in flight, and no other.

        Raises:
            StoreUnavailable: the file cannot be written.
        """
        self._note.taken, self._note.alone = (0, 0), seq
        self._keep()

    def done(self, seq: int) -> None:
        """Record that every message up to `seq` is in the index, or stored as a dead letter."""
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
        """Record that no message is in flight; suspected messages stay suspected."""
        if self._note.taken != (0, 0) or self._note.alone:
            self._note.taken, self._note.alone = (0, 0), 0
            self._let_go()

    def _accuse(self) -> None:
        # Not written yet: the next start would read the same file and conclude the same.
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
        # A journal that names too many messages only makes some suspected without need: no reason to stop.
        with contextlib.suppress(StoreUnavailable):
            self._keep()

    def _keep(self) -> None:
        try:
            self._write("" if self._note == _Note() else json.dumps(asdict(self._note)))
        except OSError as error:
            raise StoreUnavailable(f"the crash journal {self._path} cannot be written: {error.strerror}") from error

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
    """Parses the file; an empty note if it is malformed, since it blames no message then."""
    try:
        found = json.loads(text)
        blames = {int(seq): int(times) for seq, times in found["blames"].items()}
        return _Note(_range(found["taken"]), int(found["alone"]), _range(found["suspected"]), blames)
    except (ValueError, KeyError, TypeError, AttributeError):
        return _Note()


def _range(found: list[int]) -> tuple[int, int]:
    first, last = found
    return int(first), int(last)
