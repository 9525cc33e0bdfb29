"""Properties of all events and outcomes, not only of those that somebody thought of."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from precedent_schemas import codec
from precedent_schemas.catalogue import ENDPOINTS, Endpoint
from precedent_schemas.codec import DecodeError
from precedent_schemas.events import Deletion, EventBody, Outcome
from precedent_schemas.fields import format_time, parse_time
from wire_strategies import deletions, event_fields, events, junk, moments, outcomes, payloads, requests, texts

Validators = Callable[[str], Draft202012Validator]

# The session's validators are built once and hold no state of a single example.
calmly = settings(
    deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

perhaps_events = st.fixed_dictionaries(
    {"text": texts | junk}, optional={**{name: field | junk for name, field in event_fields.items()}, "new": junk}
)


@calmly
@given(events)
def test_events_survive_the_wire(body: dict[str, Any]) -> None:
    """Every legal event decodes; encoded and decoded again it is equal; and its encoding does not change any more."""
    first = codec.decode_event(json.dumps(body).encode())
    encoded = codec.encode_log_message(first)
    again = codec.decode_event(encoded)
    assert again == first
    assert codec.encode_log_message(again) == encoded


@calmly
@given(events)
def test_events_keep_what_they_say(body: dict[str, Any]) -> None:
    """Nothing of a legal event is lost: attributes stay as given, the rest changes only in its spelling."""
    kept = codec.decode_event(codec.dump(body))
    assert kept.text in body["text"]
    assert kept.text.strip() == body["text"].strip()
    assert (kept.id, kept.source, kept.user) == (body.get("id"), body.get("source"), body.get("user"))
    assert kept.severity == body.get("severity", 1)
    assert codec.dump(kept.attributes) == codec.dump(body.get("attributes", {}))
    assert (kept.ip is None) == ("ip" not in body)
    assert (kept.occurred_at is None) == ("occurred_at" not in body)


@calmly
@given(outcomes)
def test_outcomes_survive_the_wire(body: dict[str, Any]) -> None:
    """Every legal outcome decodes, and encoded and decoded again it is equal."""
    first = codec.decode(Outcome, json.dumps(body).encode())
    encoded = codec.encode_log_message(first)
    assert codec.decode(Outcome, encoded) == first
    assert codec.encode_log_message(codec.decode(Outcome, encoded)) == encoded


@calmly
@given(body=perhaps_events)
def test_schema_takes_what_the_model_takes(body: dict[str, Any], validator: Validators) -> None:
    """Of legal and of half-legal events: what the model takes passes the JSON Schema, as sent and as encoded."""
    try:
        taken = codec.validate(EventBody, body)
    except DecodeError:
        event("refused by the model")
        return
    event("taken by the model")
    validator("event").validate(body)
    validator("event").validate(json.loads(codec.encode_log_message(taken)))


@calmly
@given(body=events)
def test_schema_takes_legal_events(body: dict[str, Any], validator: Validators) -> None:
    """Every legal event passes the JSON Schema that publishers are given."""
    validator("event").validate(json.loads(json.dumps(body)))


@calmly
@given(body=outcomes)
def test_schema_takes_legal_outcomes(body: dict[str, Any], validator: Validators) -> None:
    """Every legal outcome passes its JSON Schema."""
    validator("outcome").validate(body)


@calmly
@given(moments)
def test_times_are_cut_and_never_move(moment: datetime) -> None:
    """A moment is kept in UTC, less than a millisecond before what was said, and a second reading changes nothing."""
    kept = parse_time(moment.isoformat())
    assert timedelta() <= moment - kept < timedelta(milliseconds=1)
    assert kept.tzinfo is UTC
    assert parse_time(format_time(kept)) == kept == parse_time(kept)


@calmly
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | junk.map(codec.dump))
def test_any_bytes_are_an_event_or_a_decode_error(data: bytes) -> None:
    """Whatever stands in the log, decoding ends with an event or with the one error that dead letters are made of."""
    try:
        codec.decode_event(data)
    except DecodeError as error:
        event(str(error.reason))


def test_every_endpoint_has_a_strategy() -> None:
    """An endpoint that is added to the catalogue is fuzzed, or this fails."""
    assert requests.keys() == {endpoint.name for endpoint in ENDPOINTS}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_legal_requests_survive_the_wire(endpoint: Endpoint) -> None:
    """Every legal request decodes, and encoded and decoded again it is equal."""

    @calmly
    @given(requests[endpoint.name])
    def survives(request: dict[str, Any]) -> None:
        first = codec.decode(endpoint.request, codec.dump(request))
        assert codec.decode(endpoint.request, codec.encode(first)) == first

    survives()


MODELS: dict[str, tuple[type[BaseModel], st.SearchStrategy[Any]]] = {
    "event": (EventBody, events),
    "outcome": (Outcome, outcomes),
    "deletion": (Deletion, deletions),
    **{endpoint.name: (endpoint.request, requests[endpoint.name]) for endpoint in ENDPOINTS},
}


def decoded(model: type[BaseModel], data: bytes) -> BaseModel | DecodeError:
    """What comes of bytes."""
    try:
        return codec.decode(model, data)
    except DecodeError as error:
        return error


@pytest.mark.parametrize("name", MODELS)
def test_decoding_ends_well_or_with_its_one_error(name: str) -> None:
    """Whatever bytes come, there is a message or a DecodeError; what decodes can be encoded and decoded again.

    An error is short and shows nothing that a terminal would act upon.
    """
    model, messages = MODELS[name]

    @calmly
    @given(payloads(messages))
    def ends_well(data: bytes) -> None:
        found = decoded(model, data)
        if isinstance(found, DecodeError):
            event(str(found.reason))
            assert str(found).isprintable()
            assert all(one.field.isascii() for one in found.problems)
            assert len(str(found)) < 5_000
        else:
            event("decoded")
            assert codec.decode(model, codec.encode(found)) == found

    ends_well()
