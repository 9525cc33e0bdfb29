"""Tables of the reference page: fields of events, outcomes, filters and replies, and the settings of a client."""

import dataclasses
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from precedent_backend_adapter import Backoff, Config, Credentials, OutboxConfig, Timeouts, Tls
from precedent_schemas import Entry, Filter, Hit, Outcome, RecurrenceReply, SearchReply, SecurityEvent, StoredEvent
from precedent_schemas.answers import BucketCount, Summary

_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", re.MULTILINE | re.DOTALL)


def event_fields() -> str:
    """What a backend publishes."""
    return _models(SecurityEvent)


def outcome_fields() -> str:
    """What was decided about an event."""
    return _models(Outcome)


def filter_fields() -> str:
    """What a question can be narrowed by."""
    return _models(Filter)


def hit_fields() -> str:
    """What replies hold."""
    parts = [
        (one.__name__, one) for one in (SearchReply, Hit, Entry, StoredEvent, Summary, RecurrenceReply, BucketCount)
    ]
    return "\n".join(f"**`{name}`**: {_first_line(model)}\n\n{_models(model)}" for name, model in parts)


def client_settings() -> str:
    """Every field of `Config` and its parts."""
    rows = [row for cls, prefix in _SETTINGS.items() for row in _settings(cls, prefix)]
    return "\n".join(["| setting | default | meaning |", "| --- | --- | --- |", *rows]) + "\n"


_SETTINGS: Final[dict[type, str]] = {
    Config: "",
    Credentials: "credentials.",
    Tls: "tls.",
    Timeouts: "timeouts.",
    Backoff: "backoff.",
    OutboxConfig: "outbox.",
}


_SAID: Final = {
    name: field["description"]
    for name, field in SecurityEvent.model_json_schema()["properties"].items()
    if name not in ("id", "occurred_at")
} | {
    "id": "The publisher's, or `seq-<stream sequence>`",
    "occurred_at": "When it happened, or when the log stored it",
    "seq": "Sequence of its latest revision in the log",
    "first_seen": "When the earliest of them happened",
    "last_seen": "When the latest of them happened",
}
"""What is said of a field of a reply that has no description of its own."""


def _settings(cls: type, prefix: str) -> Iterator[str]:
    said = dict(_ATTRIBUTE.findall(_section(inspect.getdoc(cls) or "", "Attributes:")))
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            default = f"`{type(field.default_factory()).__name__}()`"
        elif field.default is dataclasses.MISSING:
            default = "must be given"
        else:
            default = f"`{field.default!r}`"
        yield f"| `{prefix}{field.name}` | {default} | {_cell(said[field.name])} |"


def _section(documentation: str, title: str) -> str:
    body = documentation.partition(f"{title}\n")[2]
    return re.split(r"^\S", body, maxsplit=1, flags=re.MULTILINE)[0]


def _models(model: type[BaseModel]) -> str:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    rows = []
    for name, field in schema["properties"].items():
        default = field.get("default")
        absent = "must be there" if name in required else ("none" if default is None else f"`{json.dumps(default)}`")
        said = field.get("description") or _SAID.get(name) or _described(field, schema)
        rows.append(f"| `{name}` | {_type(field, schema)} | {absent} | {_cell(said)} |")
    return "\n".join(["| field | type | if absent | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _described(field: dict[str, Any], schema: dict[str, Any]) -> str:
    for one in (field, *field.get("anyOf", ())):
        if "$ref" in one:
            return str(schema["$defs"][one["$ref"].rpartition("/")[2]].get("description", ""))
    return ""


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        definition = schema["$defs"][name]
        return _type(definition, schema) if "enum" in definition else f"`{name}`"
    if "anyOf" in field:
        kinds = dict.fromkeys(_type(one, schema) for one in field["anyOf"] if one.get("type") != "null")
        return " or ".join(kinds)
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if field.get("format") in ("ipv4", "ipv6"):
        return "IP address"
    kind = field.get("type", "any value")
    if kind == "array":
        return f"list of {_type(field['items'], schema)}"
    if kind == "string":
        return _string(field)
    low, high = field.get("minimum"), field.get("maximum")
    if low is not None and high is not None and high - low < 2**53:
        return f"{kind}, {low} to {high}"
    return str(kind)


def _string(field: dict[str, Any]) -> str:
    if field.get("format") == "date-time":
        return "time, RFC 3339"
    if "maxLength" in field:
        return f"string, {field.get('minLength', 0)} to {field['maxLength']:,} characters"
    return f"string `{_cell(field['pattern'])}`" if "pattern" in field else "string"


def _first_line(model: type[BaseModel]) -> str:
    return (inspect.getdoc(model) or "").splitlines()[0]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").rstrip(".")
