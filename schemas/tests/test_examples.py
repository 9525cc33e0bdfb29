"""The golden messages of version 1: what was once written stays readable."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import export
import pytest
from jsonschema import Draft202012Validator

from precedent_schemas import codec, events

EXAMPLES = sorted((export.SCHEMAS / "examples" / "v1").glob("*.json"))
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
Validators = Callable[[str], Draft202012Validator]


def _name(path: Path) -> str:
    """`event.full.json` is an example of `event`."""
    return path.name.partition(".")[0]


def _re_encoded(name: str, data: bytes) -> bytes:
    message = codec.decode(export.MESSAGES[name].model, data)
    return codec.encode_log_message(message) if isinstance(message, events.LogMessage) else codec.encode(message)


def _keeps(whole: Any, part: Any) -> bool:
    """Whether `whole` says all that `part` says, with the same types."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(key in whole and _keeps(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(_keeps, whole, part))
    return type(whole) is type(part) and bool(whole == part)


def test_every_message_has_an_example() -> None:
    """Each message of the bus has at least one golden example, and each example belongs to a message."""
    assert {_name(path) for path in EXAMPLES} == set(export.MESSAGES)


@each_example
def test_example_decodes_and_keeps_everything(path: Path) -> None:
    """A golden message decodes, and what it is encoded to says all that it said: no field is a stranger."""
    example = path.read_bytes()
    assert _keeps(json.loads(_re_encoded(_name(path), example)), json.loads(example))


@each_example
def test_example_survives_a_second_reading(path: Path) -> None:
    """Encoded and decoded again it is an equal message."""
    model = export.MESSAGES[_name(path)].model
    example = path.read_bytes()
    assert codec.decode(model, _re_encoded(_name(path), example)) == codec.decode(model, example)


@each_example
def test_example_is_valid_by_schema(path: Path, validator: Validators) -> None:
    """A golden message passes its JSON Schema, as written and as this version writes it."""
    example = path.read_bytes()
    validator(_name(path)).validate(json.loads(example))
    validator(_name(path)).validate(json.loads(_re_encoded(_name(path), example)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("event", {}),
        ("event", {"text": ""}),
        ("event", {"text": " \n"}),
        ("event", {"text": "a", "id": "seq-1"}),
        ("event", {"text": "a", "severity": 6}),
        ("event", {"text": "a", "occurred_at": "2026-01-31T12:00:00"}),
        ("event", {"text": "a", "ip": "fe80::1%eth0"}),
        ("event", {"text": "a", "attributes": {"a": {"b": 1}}}),
        ("event", {"text": "a", "attributes": {"a b": 1}}),
        ("event", {"text": "a", "attributes": {"a": [1, "b"]}}),
        ("outcome", {"event_id": "a"}),
        ("outcome", {"event_id": "a", "verdict": "guilty"}),
        ("deletion", {}),
        ("deletion", {"all": False}),
        ("deletion", {"ids": ["a"], "all": True}),
        ("search-request", {}),
        ("search-request", {"text": "a", "id": "b"}),
        ("search-request", {"text": "a", "filters": {}}),
        ("search-request", {"text": "a", "filter": {"severity": {"least": 1}}}),
        ("recurrence-request", {"id": "a", "bucket": "week"}),
        ("get-request", {"ids": []}),
        ("clear-request", {}),
        ("stats-request", {"all": True}),
        ("rebuild-request", {"force": True}),
        ("verify-request", {"repair": 1}),
    ],
)
def test_schema_and_model_refuse_alike(name: str, wrong: dict[str, Any], validator: Validators) -> None:
    """What the model refuses, a caller can learn from the JSON Schema before sending it."""
    assert not validator(name).is_valid(wrong)
    with pytest.raises(codec.DecodeError):
        codec.validate(export.MESSAGES[name].model, wrong)


@pytest.mark.parametrize("field", ["id", "occurred_at", "severity", "source", "user", "ip", "attributes"])
def test_null_stands_for_an_absent_field(field: str, validator: Validators) -> None:
    """A publisher may write null where it has nothing to say, by the model and by the schema."""
    event = {"text": "a", field: None}
    validator("event").validate(event)
    assert codec.validate(events.EventBody, event) == events.EventBody(text="a")
