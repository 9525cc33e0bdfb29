"""Numbers, times and decisions in words."""

from datetime import UTC, datetime
from typing import Final

from precedent_backend_adapter.cli.display.text import cut, safe
from precedent_schemas import Outcome
from precedent_schemas.fields import format_time

SEVERITIES: Final = ("informational", "low", "medium", "high", "critical")
"""The word of each severity, from 1."""
_UNITS: Final = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600), ("minute", 60))
_MOST_LABEL_CHARS: Final = 80


def now() -> datetime:
    """The clock of this machine."""
    return datetime.now(UTC)


def count(number: int, one: str, several: str | None = None) -> str:
    """A number of things, as in `1 event` and `2 events`."""
    return f"{number} {one if number == 1 else several or one + 's'}"


def when(moment: datetime | None) -> str:
    """A moment to the second, in UTC."""
    return "" if moment is None else format_time(moment)[:19].replace("T", " ") + "Z"


def ago(moment: datetime, at: datetime) -> str:
    """How long before `at` it was, in the largest whole unit."""
    seconds = int((at - moment).total_seconds())
    for unit, length in (*_UNITS, ("second", 1)):
        if abs(seconds) >= length:
            past = count(abs(seconds) // length, unit)
            return f"{past} ago" if seconds > 0 else f"in {past}"
    return "now"


def severity(level: int) -> str:
    """A severity as number and word, as in `4 high`."""
    return f"{level} {SEVERITIES[level - 1]}"


def label(value: str) -> str:
    """A publisher's name of something, in quotes where it could be taken for several words."""
    shown = safe(cut(value, _MOST_LABEL_CHARS))
    if any(char.isspace() or char == '"' for char in shown):
        return '"' + shown.replace('"', '\\"') + '"'
    return shown


def decision(decided: Outcome | None) -> str:
    """What was decided, by whom and what was done."""
    if decided is None:
        return "undecided"
    by = "" if decided.by is None else f" by {label(decided.by)}"
    done = "" if decided.mitigation is None else f": {label(decided.mitigation)}"
    return f"{verdict(decided.verdict)}{by}{done}"


def verdict(name: str) -> str:
    """A verdict in words."""
    return name.replace("_", " ")
