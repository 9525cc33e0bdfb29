"""Times and severities as other systems write them, converted to the form of the wire.

Every function returns a value that it does not convert as it is: the strict type of the field then refuses it.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Final

SEVERITY_WORDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **dict.fromkeys(("trace", "debug", "info", "information", "informational"), 1),
        **dict.fromkeys(("low", "notice"), 2),
        **dict.fromkeys(("medium", "moderate", "warn", "warning"), 3),
        **dict.fromkeys(("high", "error", "err", "severe"), 4),
        **dict.fromkeys(("critical", "crit", "alert", "emergency", "emerg", "fatal", "panic"), 5),
    }
)
"""Severities in words, with the level of each; case and surrounding blanks do not matter."""

_TIME: Final = re.compile(
    r"\s*(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:[.,]\d+)?)\s?(?:([Zz]|UTC|GMT)|([+-]\d\d)(?::?(\d\d))?)\s*", re.ASCII
)
_NUMBER: Final = re.compile(r"\s*[+-]?\d{1,15}(?:\.\d{1,12})?\s*", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MILLISECONDS: Final = 100_000_000_000
"""As seconds it is the year 5138; as milliseconds it is 1973."""


def severity(value: object) -> object:
    """A word of `SEVERITY_WORDS`, a number in a string or a whole float as the integer that it means.

    Raises:
        ValueError: a string that is neither; the message lists the words.
    """
    if isinstance(value, str):
        word = value.strip().casefold()
        if word in SEVERITY_WORDS:
            return SEVERITY_WORDS[word]
        if not _NUMBER.fullmatch(word):
            raise ValueError(f"should be 1 to 5 or one of {', '.join(SEVERITY_WORDS)}")
        value = float(word)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def time(value: object) -> object:
    """A time with another spelling of its offset, or seconds since 1970, as RFC 3339 or a moment.

    Raises:
        ValueError: a number that is no count of seconds; the message says what it seems to be.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        found = _TIME.fullmatch(value)
        if found is not None:
            date, clock, utc, hours, minutes = found.groups()
            offset = "Z" if utc else f"{hours}:{minutes or '00'}"
            return f"{date}T{clock.replace(',', '.')}{offset}"
        if not _NUMBER.fullmatch(value):
            return value
        value = float(value)
    return _of_seconds(value) if isinstance(value, int | float) else value


def _of_seconds(seconds: float) -> datetime:
    if not math.isfinite(seconds) or abs(seconds) >= _FIRST_MILLISECONDS:
        raise ValueError("should be seconds since 1970; divide milliseconds by 1000")
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"is no moment of the years 1 to 9999: {error}") from error
