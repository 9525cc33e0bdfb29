"""Properties of all events and outcomes, not only of those that somebody thought of."""

import json
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from precedent_schemas import codec
from precedent_schemas.codec import DecodeError
from precedent_schemas.events import EventBody, Outcome, Verdict
from precedent_schemas.fields import SEQ_ID_PREFIX, format_time, parse_time
from precedent_schemas.limits import INT64_MAX, INT64_MIN

Validators = Callable[[str], Draft202012Validator]

# The session's validators are built once and hold no state of a single example.
calmly = settings(
    deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

texts = st.text(min_size=1, max_size=200).filter(str.strip)
labels = st.text(min_size=1, max_size=256)
stored_ids = st.text(string.ascii_letters + string.digits + "._:@/+=-", min_size=1, max_size=128)
event_ids = stored_ids.filter(lambda name: not name.startswith(SEQ_ID_PREFIX))
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=offsets)  # noqa: DTZ001 -- hypothesis adds them
times = moments.map(datetime.isoformat)
addresses = st.ip_addresses().map(str)
integers = st.integers(INT64_MIN, INT64_MAX)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = integers | floats
keys = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=64)
values = st.one_of(
    st.text(), numbers, st.booleans(), st.lists(st.text()), st.lists(numbers), st.lists(st.booleans())
)  # fmt: skip
attributes = st.dictionaries(keys, values, max_size=64)
optional: dict[str, st.SearchStrategy[Any]] = {
    "id": event_ids,
    "occurred_at": times,
    "severity": st.integers(1, 5),
    "source": labels,
    "user": labels,
    "ip": addresses,
    "attributes": attributes,
}
events = st.fixed_dictionaries({"text": texts}, optional=optional)
outcomes = st.fixed_dictionaries(
    {"event_id": stored_ids, "verdict": st.sampled_from([str(verdict) for verdict in Verdict])},
    optional={"mitigation": labels, "note": st.text(max_size=1000), "by": labels, "decided_at": times},
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=5,
)
perhaps_events = st.fixed_dictionaries(
    {"text": texts | junk}, optional={**{name: field | junk for name, field in optional.items()}, "new": junk}
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
