"""Items and rules as the old client showed them, and the events that they are."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypedDict

from precedent_backend_adapter.compat import _values
from precedent_backend_adapter.errors import invalid
from precedent_schemas import INCIDENTS, RULES, DecodeError, SecurityEvent, StoredEvent
from precedent_schemas.codec import validate
from precedent_schemas.fields import parse_time

KIND: Final = "unclassified"
"""The kind of every incident that comes through the old client, which knew none."""
RULE_KIND: Final = "rule"
"""The kind of every rule that comes through the old client."""
DEFAULT_CATEGORY: Final = "general"
"""The category of a rule that names none."""
DEFAULT_SEVERITY_LABEL: Final = "medium"
"""The severity of a rule that is added without one."""

_SAID_BY_ARGUMENTS: Final = ("user", "ip", "severity", "timestamp")
_LABELS: Final = {level: label for label, level in _values.SEVERITY_LABELS.items() if label != "info"}


class Item(TypedDict):
    """One item of `get_all_items`; `metadata` has `user`, `ip`, `severity`, `timestamp` and the caller's own keys."""

    id: str
    text: str
    metadata: dict[str, Any]


class ScoredItem(Item):
    """One item of `query_items`; `score` is a distance, 0 to 4: 2 * (1 - cosine), smaller is nearer."""

    score: float


class Rule(TypedDict):
    """One rule of `get_rules`."""

    id: str
    original_text: str
    refined_text: str
    category: str
    severity: str
    timestamp: str


class ScoredRule(Rule):
    """One rule of `query_rules`; `similarity_score` is 1 - distance, -3 to 1: 1 is the same meaning."""

    similarity_score: float


def distance(similarity: float) -> float:
    """Squared L2 distance of two unit vectors, from their cosine."""
    return 2.0 * (1.0 - similarity)


# -- items


def item_event(
    reasoning: str, user: object, ip: object, severity: object, metadata: Mapping[Any, Any] | None
) -> SecurityEvent:
    """The event of one new item; its id is new, so that equal items are several.

    Raises:
        Refused: what is odd about it is more than can be kept.
    """
    arguments = {"user": user, "ip": ip, "severity": severity}
    own, shadowed = _values.own_keys((metadata or {}).items(), _SAID_BY_ARGUMENTS)
    fields = {name: _values.scalar(value) for name, value in arguments.items() if value is not None}
    written = _values.write(_values.Given(reasoning, fields, own, tuple(shadowed)))
    return _event({"id": str(uuid.uuid4()), "kind": KIND, "collection": INCIDENTS, **written})


def item(event: StoredEvent) -> Item:
    """An event as an item."""
    given = _values.read(event)
    said = {"user": "", "ip": "", **given.fields, "timestamp": _timestamp(event.occurred_at)}
    return Item(id=event.id, text=given.text, metadata={**given.own, **said})


def scored_item(event: StoredEvent, similarity: float) -> ScoredItem:
    """An event as an answer to a query."""
    return ScoredItem(**item(event), score=distance(similarity))


# -- rules


def rule_event(
    original_text: str, refined_text: str, category: str, severity: object, rule_id: str | None, timestamp: str | None
) -> SecurityEvent:
    """The event of one rule; an id that is there already is replaced.

    Raises:
        Refused: the id is none, or what is odd about it is more than can be kept.
    """
    own = {"original_text": original_text, "category": category, "severity_label": severity, "timestamp": timestamp}
    kept, _ = _values.own_keys(own.items(), ())
    written = _values.write(_values.Given(refined_text, {}, kept))
    about: dict[str, Any] = {"id": rule_id or str(uuid.uuid4()), "kind": RULE_KIND, "collection": RULES}
    if severity is not None:
        about["severity"] = _values.severity_level(_values.scalar(severity))
    return _event({**about, "occurred_at": _moment(timestamp), **written})


def rule(event: StoredEvent) -> Rule:
    """An event as a rule; what another publisher left out is as the old service filled it in."""
    given = _values.read(event)
    own: dict[str, Any] = dict(given.own)
    return Rule(
        id=event.id,
        original_text=own.get("original_text", ""),
        refined_text=given.text,
        category=own.get("category", DEFAULT_CATEGORY),
        severity=own.get("severity_label", _LABELS[event.severity]),
        timestamp=own.get("timestamp", _timestamp(event.occurred_at)),
    )


def scored_rule(event: StoredEvent, similarity: float) -> ScoredRule:
    """An event as an answer to a query for rules."""
    return ScoredRule(**rule(event), similarity_score=1.0 - distance(similarity))


# -- shared


def _event(fields: dict[str, Any]) -> SecurityEvent:
    try:
        return validate(SecurityEvent, fields)
    except DecodeError as error:
        raise invalid(error.problems) from error


def _timestamp(moment: datetime) -> str:
    """UTC without an offset, as the old service wrote it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")


def _moment(timestamp: object) -> datetime | None:
    """What a timestamp says, UTC where it has no offset; None where it is none: the attribute keeps it."""
    if not isinstance(timestamp, str):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
        return parse_time(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except ValueError:
        return None
