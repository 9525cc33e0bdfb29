"""What callers of the old client gave, as an event of the log and back again, whatever it was.

An event has rules that old data does not keep to. What a field can say goes into the field. What it cannot say goes
into the attribute of that name (`user`, `ip`, `severity`), and the field gets the nearest thing that it can say.
What no attribute can say either goes into one attribute more, `REST`: see `_overflow`.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from precedent_backend_adapter.compat._overflow import REST, in_utf8, pack, unpack
from precedent_backend_adapter.errors import invalid
from precedent_schemas import FieldProblem, StoredEvent
from precedent_schemas.fields import AttributeValue, IpAddress, Label, Scalar, Text, check_attributes
from precedent_schemas.limits import MAX_ATTRIBUTES, MAX_SEVERITY, MAX_TEXT_CHARS, MIN_SEVERITY

NO_TEXT: Final = "(no text)"
"""Embedded in place of a text with nothing in it."""
SEVERITY_LABELS: Final[Mapping[str, int]] = {
    "informational": 1,
    "info": 1,
    "low": 2,
    "medium": 3,
    "high": 4,
    "critical": 5,
}
"""Severities in words; case does not matter."""

# A longer value is packed with the rest, so that more of it fits into a message.
_MAX_PLAIN_CHARS: Final = 16_384

_TEXT: Final[TypeAdapter[str]] = TypeAdapter(Text)
_LABEL: Final[TypeAdapter[str]] = TypeAdapter(Label)
_IP: Final[TypeAdapter[str]] = TypeAdapter(IpAddress)


@dataclass(frozen=True, slots=True)
class Given:
    """What a caller gave, in the values that JSON has.

    Attributes:
        text: any string.
        fields: `user`, `ip` and `severity`, those that were given.
        own: the caller's own keys.
        shadowed: pairs of key and value that are kept and not shown.
    """

    text: str
    fields: Mapping[str, Scalar]
    own: Mapping[str, Scalar]
    shadowed: tuple[tuple[str, Scalar], ...] = ()


def scalar(value: object) -> Scalar:
    """A scalar as the plain Python type of its kind; anything else as `str` shows it."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def own_keys(
    pairs: Iterable[tuple[object, object]], hidden: Iterable[str]
) -> tuple[dict[str, Scalar], list[tuple[str, Scalar]]]:
    """A caller's keys as strings, without those that have None; and what the names in `hidden`, or later keys, hide."""
    own: dict[str, Scalar] = {}
    shadowed: list[tuple[str, Scalar]] = []
    for key, value in pairs:
        if value is None:
            continue
        name = str(scalar(key))
        if name in hidden:
            shadowed.append((name, scalar(value)))
            continue
        if name in own:
            shadowed.append((name, own[name]))
        own[name] = scalar(value)
    return own, shadowed


def embeddable(text: str) -> str:
    """What is embedded for a text: its beginning where it is too long, trimmed, `NO_TEXT` where nothing is left.

    Raises:
        Refused: no string at all.
    """
    if not isinstance(text, str):
        raise invalid([FieldProblem(field="text", message=f"should be a string (got {type(text).__name__})")])
    return _valid(_TEXT, in_utf8(text)[:MAX_TEXT_CHARS]) or NO_TEXT


def write(given: Given) -> dict[str, Any]:
    """The fields of an event that say it: `text`, `user`, `ip`, `severity`, `attributes`.

    Raises:
        Refused: what no field can say is longer than 16 MiB, or the text is no string.
    """
    said = embeddable(given.text)
    rest: dict[str, Any] = {}
    if said != given.text:
        rest["text"] = _around(said, given.text)
    event: dict[str, Any] = {"text": said}
    odd: dict[str, AttributeValue] = {}
    for name, value in given.fields.items():
        field = FIELDS[name](value)
        if field is not None:
            event[name] = field
        if type(field) is type(value) and field == value:
            continue
        if _fits(name, value):
            odd[name] = value
        else:
            rest.setdefault("fields", {})[name] = value
    plain = [(key, value) for key, value in given.own.items() if key != REST and _fits(key, value)]
    more = {key: value for key, value in given.own.items() if key == REST or not _fits(key, value)}
    if given.shadowed:
        rest["shadowed"] = given.shadowed
    alone = not (rest or more) and len(odd) + len(plain) <= MAX_ATTRIBUTES
    room = MAX_ATTRIBUTES - len(odd) - (0 if alone else 1)
    more |= dict(plain[room:])
    if more:
        rest["more"] = more
    event["attributes"] = odd | dict(plain[:room]) | ({REST: pack(rest)} if rest else {})
    return event


def read(event: StoredEvent) -> Given:
    """What was given for an event; of one that another publisher wrote, the same view. `shadowed` stays where it is."""
    attributes = dict(event.attributes)
    rest = unpack(attributes.get(REST))
    if rest is not None:
        del attributes[REST]
    else:
        rest = {}
    originals = {name: attributes.pop(name) for name in FIELDS if name in attributes} | dict(rest.get("fields", {}))
    fields: dict[str, Scalar] = {}
    for name, make in FIELDS.items():
        field = getattr(event, name)
        original = scalar(originals[name]) if name in originals else field
        # An attribute that says something else than the field is another publisher's own.
        fields[name] = original if make(original) == field else field
    own = {key: scalar(value) for key, value in attributes.items()} | dict(rest.get("more", {}))
    return Given(_text(event.text, rest.get("text")), {n: v for n, v in fields.items() if v is not None}, own)


# -- what a field can say


def _user(value: Scalar | None) -> str | None:
    return None if value is None else _valid(_LABEL, str(value))


def _ip(value: Scalar | None) -> str | None:
    return None if value is None else _valid(_IP, str(value))


def severity_level(value: Scalar | None) -> int:
    """The nearest of 1 to 5 to a number, also in a string; a word's; 1 for anything else."""
    if isinstance(value, str):
        word = value.strip().lower()
        if word in SEVERITY_LABELS:
            return SEVERITY_LABELS[word]
        try:
            value = float(word)
        except ValueError:
            return MIN_SEVERITY
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MIN_SEVERITY
    return round(min(max(value, MIN_SEVERITY), MAX_SEVERITY))


FIELDS: Final[Mapping[str, Callable[[Scalar | None], Scalar | None]]] = {
    "user": _user,
    "ip": _ip,
    "severity": severity_level,
}
"""The fields that old data has values for, and what each makes of a value."""


def _valid(adapter: TypeAdapter[str], value: str) -> str | None:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def _fits(key: str, value: Scalar) -> bool:
    if isinstance(value, str) and len(value) > _MAX_PLAIN_CHARS:
        return False
    try:
        check_attributes({key: value})
    except ValueError:
        return False
    return True


# -- the text


def _around(said: str, text: str) -> str | tuple[str, str]:
    # The text itself is not stored twice where it can be helped: a message has its limit.
    before, found, after = text.partition(said)
    return (before, after) if found else text


def _text(said: str, around: object) -> str:
    if isinstance(around, str):
        return around
    if isinstance(around, list):
        return f"{around[0]}{said}{around[1]}"
    return said
