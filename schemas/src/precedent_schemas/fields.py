"""Field types with their rules: ids, times, addresses, networks, attributes.

A field type is a pydantic annotation; it validates decoded JSON and normalises what it accepts.
"""

import ipaddress
import math
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from precedent_schemas.limits import (
    INT64_MAX,
    INT64_MIN,
    MAX_ATTRIBUTE_KEY_CHARS,
    MAX_ATTRIBUTES,
    MAX_ID_CHARS,
    MAX_K,
    MAX_LABEL_CHARS,
    MAX_SEVERITY,
    MAX_TEXT_CHARS,
    MIN_SEVERITY,
)
from precedent_schemas.subjects import COLLECTION_PATTERN, KIND_PATTERN

SEQ_ID_PREFIX: Final = "seq-"
"""Begins the ids that the log gives to events without one; a publisher may not use it."""

_ID_CHARS: Final = "[A-Za-z0-9._:@/+=-]"
_KEY: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_ATTRIBUTE_KEY_CHARS}}}")
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([Zz])|([+-])(\d\d)(?::?(\d\d))?)", re.ASCII
)
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Categories of characters that show nothing: controls, formats and separators; never unassigned ones, which change."""
_LINE_BREAK: Final = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAX_OFFSET_HOURS: Final = 23
_MAX_MINUTES: Final = 59
_LEAP_SECOND: Final = 60

Scalar = str | int | float | bool
"""One attribute value."""
AttributeValue = Scalar | list[str] | list[int] | list[float] | list[bool]
"""One attribute: a scalar or a list of one kind of scalar."""


def parse_time(value: object) -> datetime:
    """RFC 3339 with an offset -> UTC, cut to the millisecond; the offset may also be `+hhmm` or `+hh`.

    Raises:
        ValueError: not a string, not RFC 3339, without an offset, or outside of the years 1 to 9999.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("needs an offset: add 'Z' or '+hh:mm', or give the datetime a tzinfo")
        try:
            return _cut(value)
        except OverflowError as error:
            raise ValueError(f"is no moment of the years 1 to 9999: {error}") from error
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("should be RFC 3339 with an offset, as in 2026-01-31T12:00:00Z")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, _, sign, off_hours, off_minutes = match.groups()[6:]
    offset = timedelta()
    if sign is not None:
        off_minutes = off_minutes or "00"
        if int(off_hours) > _MAX_OFFSET_HOURS or int(off_minutes) > _MAX_MINUTES:
            raise ValueError("has an offset beyond 23:59")
        offset = timedelta(hours=int(off_hours), minutes=int(off_minutes)) * (-1 if sign == "-" else 1)
    milliseconds = int((fraction or "0").ljust(3, "0")[:3])
    leap = second == _LEAP_SECOND
    try:
        moment = datetime(year, month, day, hour, minute, second - leap, milliseconds * 1000, tzinfo=timezone(offset))
        return (moment + timedelta(seconds=int(leap))).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"is no moment of the years 1 to 9999: {error}") from error


def format_time(moment: datetime) -> str:
    """A UTC moment as `2026-01-31T12:00:00.000Z`."""
    return _cut(moment).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _cut(moment: datetime) -> datetime:
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def normalise_ip(value: str) -> str:
    """The one spelling of an address: compressed lower case; an IPv4-mapped IPv6 address becomes IPv4.

    Raises:
        ValueError: no address, or an address with a scope.
    """
    if "%" in value:
        raise ValueError("should be an address without a scope (no '%')")
    try:
        address = ipaddress.ip_address(value)
    except ValueError as error:
        raise ValueError("should be an IPv4 or IPv6 address") from error
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def normalise_network(value: str) -> str:
    """The one spelling of a CIDR network; host bits are ignored.

    Raises:
        ValueError: no network in CIDR notation.
    """
    address, slash, prefix = value.partition("/")
    if "%" in value or (slash and not (prefix.isascii() and prefix.isdigit())):
        raise ValueError("should be a network such as 203.0.113.0/24 or 2001:db8::/32")
    try:
        return str(ipaddress.ip_network(f"{address}/{prefix}" if slash else address, strict=False))
    except ValueError as error:
        raise ValueError("should be a network such as 203.0.113.0/24 or 2001:db8::/32") from error


def check_scalar(value: object) -> Scalar:
    """One attribute value, unchanged.

    Raises:
        ValueError: not a string, a boolean, an integer of 64 bit or a finite number.
    """
    if isinstance(value, bool | str):
        # The codec lets none in, but a publisher's own string may hold one, and it has no bytes in UTF-8.
        if isinstance(value, str) and _SURROGATE.search(value):
            raise ValueError("should hold no lone surrogate")
        return value
    if isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise ValueError("should be an integer of 64 bit: send larger ones as strings")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("should be a finite number")
        return value
    raise ValueError("should be a string, number or boolean, or a list of one of these")


def _family(value: Scalar) -> str:
    if isinstance(value, bool):
        return "booleans"
    return "strings" if isinstance(value, str) else "numbers"


def check_attributes(value: object) -> dict[str, AttributeValue]:
    """A flat object of attributes, unchanged but for nulls: a null is an absent key.

    Raises:
        ValueError: not flat, too many keys, an illegal key, or a list of mixed kinds; the message names the key.
    """
    if not isinstance(value, dict):
        raise ValueError("should be a flat object")
    value = {key: entry for key, entry in value.items() if entry is not None}
    if len(value) > MAX_ATTRIBUTES:
        raise ValueError(f"has {len(value)} keys, at most {MAX_ATTRIBUTES} are kept")
    for key, entry in value.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"has a key that is not 1 to {MAX_ATTRIBUTE_KEY_CHARS} of [A-Za-z0-9_.-]")
        try:
            if isinstance(entry, list):
                if len({_family(check_scalar(one)) for one in entry}) > 1:
                    raise ValueError("should be a list of one kind: strings, numbers or booleans")
            else:
                check_scalar(entry)
        except ValueError as error:
            raise ValueError(f"key {key!r} {error}") from error
    return value


def check_attribute_filter(value: object) -> dict[str, Scalar | list[Scalar]]:
    """What a filter asks of attributes: a value, or a list of values of which one must be there.

    Raises:
        ValueError: as for attributes, or a list that is empty or too long.
    """
    if not isinstance(value, dict):
        raise ValueError("should be an object of attribute keys")
    if len(value) > MAX_ATTRIBUTES:
        raise ValueError(f"has {len(value)} keys, at most {MAX_ATTRIBUTES} are taken")
    for key, wanted in value.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError(f"has a key that is not 1 to {MAX_ATTRIBUTE_KEY_CHARS} of [A-Za-z0-9_.-]")
        values = wanted if isinstance(wanted, list) else [wanted]
        if not 1 <= len(values) <= MAX_K:
            raise ValueError(f"key {key!r} should list 1 to {MAX_K} values")
        try:
            for one in values:
                check_scalar(one)
        except ValueError as error:
            raise ValueError(f"key {key!r} {error}") from error
    return value


def _of_string(normalise: Callable[[str], str]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("should be a string")
        return normalise(value)

    return check


def whole_severity(value: object) -> object:
    """A severity written with a fraction of zero, as JSON of some languages is, as the integer that it means.

    Raises:
        ValueError: a number that is no severity; the message names the nearest one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"should be an integer from {MIN_SEVERITY} to {MAX_SEVERITY}")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, float) or not MIN_SEVERITY <= value <= MAX_SEVERITY:
        nearest = min(max(round(value), MIN_SEVERITY), MAX_SEVERITY)
        raise ValueError(f"should be an integer from {MIN_SEVERITY} to {MAX_SEVERITY}: the nearest is {nearest}")
    return value


def is_visible(text: str) -> bool:
    """Whether a text shows anything: blanks, control and zero-width characters alone show nothing."""
    return not all(character.isspace() or unicodedata.category(character) in _INVISIBLE for character in text)


def _has_visible_character(value: str) -> str:
    if not is_visible(value):
        raise ValueError("should hold a visible character: blanks, control and zero-width characters alone are no text")
    return value


def _one_line(value: str) -> str:
    if _LINE_BREAK.search(value):
        raise ValueError("should be one line: replace line breaks by blanks")
    return value


def _refuse_seq_prefix(value: str) -> str:
    if value.startswith(SEQ_ID_PREFIX):
        raise ValueError(f"should not start with {SEQ_ID_PREFIX!r}: the log gives such ids")
    return value


def _as_given(value: Any) -> Any:  # noqa: ANN401 -- checked on the way in; 1 stays 1 and 1.0 stays 1.0
    return value


_NUMBER_SCHEMAS: Final[list[dict[str, Any]]] = [
    {"type": "integer", "minimum": INT64_MIN, "maximum": INT64_MAX},
    # JSON Schema cannot tell 1e300 from an integer, so this one has no limits.
    {"type": "number", "description": "Written with a fraction or an exponent; finite"},
]
_SCALAR_SCHEMAS: Final[list[dict[str, Any]]] = [{"type": "string"}, *_NUMBER_SCHEMAS, {"type": "boolean"}]
_LIST_SCHEMAS: Final[list[dict[str, Any]]] = [
    {"type": "array", "items": one} for one in ({"type": "string"}, {"anyOf": _NUMBER_SCHEMAS}, {"type": "boolean"})
]
_ONE_OF_SCHEMA: Final = {"type": "array", "minItems": 1, "maxItems": MAX_K, "items": {"anyOf": _SCALAR_SCHEMAS}}
_ATTRIBUTES_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "maxProperties": MAX_ATTRIBUTES,
    "propertyNames": {"pattern": f"^[A-Za-z0-9_.-]{{1,{MAX_ATTRIBUTE_KEY_CHARS}}}$"},
    "additionalProperties": {"anyOf": [*_SCALAR_SCHEMAS, *_LIST_SCHEMAS, {"type": "null"}]},
}
_ATTRIBUTE_FILTER_SCHEMA: Final[dict[str, Any]] = {
    **_ATTRIBUTES_SCHEMA,
    "additionalProperties": {"anyOf": [*_SCALAR_SCHEMAS, _ONE_OF_SCHEMA]},
}

Text = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARS, strict=True),
    AfterValidator(_has_visible_character),
    Field(json_schema_extra={"pattern": r"[^ \t\r\n]"}),
]
"""What is embedded: 1 to 32,768 characters after trimming."""
StoredId = Annotated[str, StringConstraints(pattern=rf"^{_ID_CHARS}{{1,{MAX_ID_CHARS}}}$", strict=True)]
"""The id of an event as the index has it, also one that the log gave."""
EventId = Annotated[
    StoredId,
    AfterValidator(_refuse_seq_prefix),
    Field(json_schema_extra={"not": {"pattern": f"^{SEQ_ID_PREFIX}"}}),
]
"""The id that a publisher may give."""
Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL_CHARS, strict=True)]
"""A short name: a source, a user, a mitigation."""
Line = Annotated[Label, AfterValidator(_one_line)]
"""A short name on one line: the source of an event."""
Collection = Annotated[str, StringConstraints(pattern=COLLECTION_PATTERN, strict=True)]
"""The name of a collection."""
Kind = Annotated[str, StringConstraints(pattern=KIND_PATTERN, strict=True)]
"""One to four tokens, general to particular."""
Severity = Annotated[int, Field(ge=MIN_SEVERITY, le=MAX_SEVERITY, strict=True), BeforeValidator(whole_severity)]
"""1 (informational) to 5 (critical); `4.0` is 4."""
Timestamp = Annotated[
    datetime,
    BeforeValidator(parse_time),
    PlainSerializer(format_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""A moment in UTC, to the millisecond; RFC 3339 on the wire."""
IpAddress = Annotated[
    str,
    BeforeValidator(_of_string(normalise_ip)),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
            "examples": ["203.0.113.7", "2001:db8::7"],
        }
    ),
]
"""An address in its one spelling."""
Network = Annotated[
    str,
    BeforeValidator(_of_string(normalise_network)),
    WithJsonSchema({"type": "string", "examples": ["203.0.113.0/24", "2001:db8::/32"]}),
]
"""A CIDR network in its one spelling."""
Attributes = Annotated[
    dict[str, AttributeValue],
    PlainValidator(check_attributes),
    PlainSerializer(_as_given),
    WithJsonSchema(_ATTRIBUTES_SCHEMA),
]
"""The caller's own flat data; kept as given."""
AttributeFilter = Annotated[
    dict[str, Scalar | list[Scalar]],
    PlainValidator(check_attribute_filter),
    PlainSerializer(_as_given),
    WithJsonSchema(_ATTRIBUTE_FILTER_SCHEMA),
]
"""What a filter asks of attributes."""
Sequence = Annotated[int, Field(ge=1, le=INT64_MAX, strict=True)]
"""A sequence of the log."""
