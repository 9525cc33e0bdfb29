"""What people type, as values: moments and attributes."""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from precedent_backend_adapter.errors import invalid
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
    """`key=value` several times; a key that comes again makes a list.

    A value that is JSON of a number, a boolean, a string or a list is that; anything else is a string as it stands.

    Raises:
        Refused: there is no `=`.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            message = f"should be key=value (got {pair!r:.60})"
            raise invalid([FieldProblem(field="attribute", message=message)])
        value = _value(text)
        found[key] = _several(found[key]) + _several(value) if key in found else value
    return found


def _several(value: Any) -> list[Any]:  # noqa: ANN401 -- any value of an attribute
    return value if isinstance(value, list) else [value]


def _value(text: str) -> Any:  # noqa: ANN401 -- any JSON value
    try:
        value = json.loads(text, parse_constant=_no_json)
    except ValueError:
        return text
    return text if value is None or isinstance(value, dict) else value


def _no_json(literal: str) -> float:
    raise ValueError(literal)
