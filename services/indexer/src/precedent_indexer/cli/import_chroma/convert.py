"""Converts an item of the old service into an event.

The conversion is pure and deterministic: the same item gives the same id and the same bytes on every run. No value is
dropped silently: a value that its field cannot hold becomes an attribute of the same name, and the change is reported.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from precedent_indexer.cli.import_chroma.attributes import Keeper, clean
from precedent_schemas.codec import dump, encode_log_message
from precedent_schemas.events import EventBody
from precedent_schemas.fields import EventId, is_visible, normalise_ip, parse_time
from precedent_schemas.limits import (
    MAX_LABEL_CHARS,
    MAX_LOG_MESSAGE_BYTES,
    MAX_SEVERITY,
    MAX_TEXT_CHARS,
    MIN_SEVERITY,
)
from precedent_schemas.subjects import is_kind

DEFAULT_KIND: Final = "imported"
NO_TEXT: Final = "(no text)"
"""Text of an event whose item has none."""
HEADER_ROOM: Final = 1_024
"""Bytes of a message of the log that are reserved for its headers."""
_CUT_MARK: Final = " [cut]"
_MAX_KIND_CHARS: Final = 128
_OWN_FIELDS: Final = frozenset({"user", "ip", "severity", "timestamp", "refined_text"})
_SEVERITY_WORDS: Final[Mapping[str, int]] = {
    "info": 1,
    "informational": 1,
    "low": 2,
    "medium": 3,
    "moderate": 3,
    "high": 4,
    "critical": 5,
    "severe": 5,
}
_EPOCH_SCALES: Final = ((1e17, 1_000_000_000), (1e14, 1_000_000), (1e11, 1_000))
"""Smallest epoch in nanoseconds, microseconds, milliseconds, and their divisors; smaller ones are seconds."""
_EPOCH: Final = re.compile(r"\d{9,19}(\.\d+)?", re.ASCII)
_EVENT_ID: Final[TypeAdapter[str]] = TypeAdapter(EventId)


@dataclass(frozen=True, slots=True)
class OldItem:
    """One item of the old service: its id, its text if any, and its flat metadata."""

    id: str
    document: str | None
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Choices:
    """Options of the conversion.

    Attributes:
        kind: kind of every event; None takes the item's `kind` or `category` if it is legal, else `imported`.
        zone: time zone of times without an offset.
        max_bytes: most bytes of one event as JSON.
    """

    kind: str | None = None
    zone: tzinfo = UTC
    max_bytes: int = MAX_LOG_MESSAGE_BYTES - HEADER_ROOM


@dataclass(frozen=True, slots=True)
class Converted:
    """An event that is ready to be published, and what was changed: one sentence for each kind of change."""

    id: str
    kind: str
    body: EventBody
    data: bytes
    changes: tuple[str, ...]


class NotConvertible(ValueError):
    """The item cannot be converted; the message says why."""


def event_id(old_id: str) -> str:
    """Id of the event of an item: the item's id if it is legal, otherwise one derived from it."""
    try:
        return _EVENT_ID.validate_python(old_id)
    except ValidationError:
        return "imported-" + hashlib.sha256(old_id.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def convert(item: OldItem, choices: Choices) -> Converted:
    """Convert `item` into an event.

    Raises:
        NotConvertible: even with its attributes cut, the event does not fit into `max_bytes`.
    """
    keeper = Keeper()
    new_id = event_id(item.id)
    if new_id != item.id:
        keeper.keep("old_id", item.id, "id is not allowed here: replaced by one derived from it, kept as old_id")
    values: dict[str, Any] = {
        "id": new_id,
        "text": _text(item, keeper),
        "occurred_at": _time(item.metadata.get("timestamp"), choices.zone, keeper),
        "severity": _severity(item.metadata, keeper),
        "user": _user(item.metadata.get("user"), keeper),
        "ip": _ip(item.metadata.get("ip"), keeper),
    }
    own = {key: value for key, value in item.metadata.items() if key not in _OWN_FIELDS and value is not None}
    keeper.keep_own(own)
    body, data = _fitted(values, keeper, choices.max_bytes)
    return Converted(new_id, _kind(item.metadata, choices), body, data, tuple(keeper.changes))


def _kind(metadata: Mapping[str, Any], choices: Choices) -> str:
    if choices.kind is not None:
        return choices.kind
    for value in (metadata.get("kind"), metadata.get("category")):
        if isinstance(value, str) and len(value) <= _MAX_KIND_CHARS and is_kind(value):
            return value
    return DEFAULT_KIND


def _text(item: OldItem, keeper: Keeper) -> str:
    document = _visible(item.document or "")
    refined = item.metadata.get("refined_text")
    text = _visible(refined) if isinstance(refined, str) else ""
    if not text:
        text = document
        if refined is not None and not isinstance(refined, str):
            keeper.keep("refined_text", refined, "refined_text is no string: kept as an attribute")
    elif document not in ("", text, item.metadata.get("original_text")):
        keeper.keep("old_document", document, "document differs from refined_text: kept as old_document")
    if not text:
        keeper.changes.append(f"text is missing: original_text, reasoning or {NO_TEXT!r} stands for it")
        spares = (item.metadata.get(key) for key in ("original_text", "reasoning"))
        text = next((_visible(one) for one in spares if isinstance(one, str) and _visible(one)), NO_TEXT)
    if len(text) > MAX_TEXT_CHARS:
        head = text[:MAX_TEXT_CHARS].rstrip()
        keeper.keep(
            "text_rest", text[len(head) :], f"text is longer than {MAX_TEXT_CHARS}: the rest is kept as text_rest"
        )
        text = head
    return text


def _visible(text: str) -> str:
    """`text` as an event can hold it; empty if it shows nothing."""
    cleaned = clean(text).strip()
    return cleaned if is_visible(cleaned) else ""


def _time(value: object, zone: tzinfo, keeper: Keeper) -> datetime | None:
    if value is None:
        keeper.changes.append("timestamp is missing: the time of the import stands for it")
        return None
    try:
        return parse_time(value.strip() if isinstance(value, str) else None)
    except ValueError:
        pass
    try:
        moment, change = _lenient_time(value, zone)
        moment = parse_time(moment)
    except (ValueError, OverflowError, OSError):
        keeper.keep(
            "timestamp", value, "timestamp is no time: kept as an attribute, the time of the import stands for it"
        )
        return None
    keeper.keep("timestamp", value, change)
    return moment


def _lenient_time(value: object, zone: tzinfo) -> tuple[datetime, str]:
    if isinstance(value, str) and not _EPOCH.fullmatch(value.strip()):
        moment = datetime.fromisoformat(value.strip())
        if moment.tzinfo is not None:
            return moment, "timestamp is not RFC 3339: read, and kept as an attribute"
        return moment.replace(tzinfo=zone), f"timestamp has no offset: taken as {zone}, and kept as an attribute"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("no time")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("no time")
    scale = next((scale for least, scale in _EPOCH_SCALES if abs(number) >= least), 1)
    change = "timestamp is a number: taken as time since 1970, and kept as an attribute"
    return datetime.fromtimestamp(number / scale, UTC), change


def _severity(metadata: Mapping[str, Any], keeper: Keeper) -> int:
    value = metadata.get("severity")
    if value is None:
        return MIN_SEVERITY
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number.is_integer() and MIN_SEVERITY <= number <= MAX_SEVERITY:
        return int(number)
    if not math.isnan(number):
        nearest = round(max(MIN_SEVERITY, min(MAX_SEVERITY, number)))
        keeper.keep("severity", value, "severity is not 1 to 5: the nearest is taken, kept as an attribute")
        return nearest
    word = value.strip().lower() if isinstance(value, str) else ""
    key = "severity_label" if word and "severity_label" not in metadata else "severity"
    if word in _SEVERITY_WORDS:
        keeper.keep(key, value, f"severity is a word: its number is taken, kept as {key}")
        return _SEVERITY_WORDS[word]
    keeper.keep(key, value, f"severity is nothing known: {MIN_SEVERITY} is taken, kept as {key}")
    return MIN_SEVERITY


def _user(value: object, keeper: Keeper) -> str | None:
    if isinstance(value, str):
        name = clean(value)
        if 1 <= len(name) <= MAX_LABEL_CHARS:
            return name
    elif isinstance(value, int) and not isinstance(value, bool):
        keeper.changes.append("user is a number: taken as a string")
        return str(value)
    if value is not None:
        keeper.keep("user", value, f"user is not 1 to {MAX_LABEL_CHARS} characters: kept as an attribute")
    return None


def _ip(value: object, keeper: Keeper) -> str | None:
    if isinstance(value, str):
        try:
            return normalise_ip(value.strip())
        except ValueError:
            pass
    if value is not None:
        keeper.keep("ip", value, "ip is no address: kept as an attribute")
    return None


def _fitted(values: dict[str, Any], keeper: Keeper, max_bytes: int) -> tuple[EventBody, bytes]:
    """The event and its bytes; the longest attributes are cut until it fits."""
    attributes = dict(sorted(keeper.attributes.items()))
    cut = False
    while True:
        body = EventBody(**values, attributes=attributes)
        data = encode_log_message(body)
        over = len(data) - max_bytes
        if over <= 0:
            break
        longest = max(attributes, key=lambda key: len(dump(attributes[key])), default=None)
        value = None if longest is None else attributes[longest]
        shown = value if isinstance(value, str) else dump(value).decode()
        kept = shown.removesuffix(_CUT_MARK)
        if longest is None or len(shown) <= len(_CUT_MARK):
            raise NotConvertible(f"it has {len(data)} bytes as an event, at most {max_bytes} fit")
        attributes[longest] = kept[: max(0, len(kept) - over - len(_CUT_MARK))] + _CUT_MARK
        cut = True
    if cut:
        keeper.changes.append("item is too large for the log: its longest attributes are cut, marked with [cut]")
    return body, data
