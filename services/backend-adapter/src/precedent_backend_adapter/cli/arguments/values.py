"""What people type, as values: moments and attributes."""

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from precedent_backend_adapter.errors import Refused, invalid
from precedent_backend_adapter.events import normalise
from precedent_schemas import FieldProblem
from precedent_schemas.fields import parse_time

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
# As seconds since 1970 it would be before 1973: more likely the unit of a duration is missing.
_SHORT: Final = re.compile(r"\d{1,8}", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def moment(name: str, text: str) -> datetime:
    """A time as an event may have it; a date, which begins at midnight of UTC; or as long ago as `90s`, `24h`, `7d`.

    Raises:
        Refused: none of these.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if _SHORT.fullmatch(text):
            raise ValueError(text)
        return parse_time(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else normalise.time(text))
    except (ValueError, OverflowError) as error:
        message = f"should be like 2026-01-31T12:00:00Z, 2026-01-31 or 24h (got {text!r:.60})"
        raise invalid([FieldProblem(field=name, message=message)]) from error


def attributes(pairs: Iterable[str]) -> dict[str, Any]:
    """Attributes of an event: `key=text` gives a string, `key:=json` a number, boolean, string or list.

    A key that comes again makes a list.

    Raises:
        Refused: there is no `=`, or what follows `:=` is no JSON of these kinds.
    """
    found: dict[str, Any] = {}
    for key, text, is_json in _pairs(pairs):
        value = _value(key, text) if is_json else text
        found[key] = _several(found[key]) + _several(value) if key in found else value
    return found


def attribute_filter(pairs: Iterable[str]) -> dict[str, Any]:
    """Attributes that a filter asks for: `key=text` matches the string, and the number or boolean that it spells.

    `key:=json` matches that JSON value alone. A key that comes again matches any of its values.

    Raises:
        Refused: as for `attributes`.
    """
    found: dict[str, list[Any]] = {}
    for key, text, is_json in _pairs(pairs):
        found.setdefault(key, []).extend(_several(_value(key, text)) if is_json else [text, *_spelled(text)])
    return {key: several[0] if len(several) == 1 else several for key, several in found.items()}


def _pairs(pairs: Iterable[str]) -> Iterator[tuple[str, str, bool]]:
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise _refused(f"should be key=text or key:=json (got {pair!r:.60})")
        yield key.removesuffix(":"), text, key.endswith(":")


def _spelled(text: str) -> list[Any]:
    try:
        value = _json(text)
    except ValueError:
        return []
    return [value] if isinstance(value, int | float) else []


def _value(key: str, text: str) -> Any:  # noqa: ANN401 -- any JSON value
    try:
        value = _json(text)
    except ValueError as error:
        message = f"{key}:= should be followed by JSON (got {text!r:.60}); {key}={text:.60} gives it as a string"
        raise _refused(message) from error
    if value is None or isinstance(value, dict):
        raise _refused(f"{key}:= should be followed by a number, boolean, string or list (got {text!r:.60})")
    return value


def _json(text: str) -> Any:  # noqa: ANN401 -- any JSON value
    return json.loads(text, parse_constant=_no_json)


def _refused(message: str) -> Refused:
    return invalid([FieldProblem(field="attribute", message=message)])


def _several(value: Any) -> list[Any]:  # noqa: ANN401 -- any value of an attribute
    return value if isinstance(value, list) else [value]


def _no_json(literal: str) -> float:
    raise ValueError(literal)
