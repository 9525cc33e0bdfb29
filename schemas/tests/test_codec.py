"""Bytes to messages: what is refused, why, and in which words."""

import gzip
import json
import sys

import pytest

from precedent_schemas import codec
from precedent_schemas.codec import DecodeError
from precedent_schemas.events import Deletion, EventBody, Outcome
from precedent_schemas.failures import DeadReason
from precedent_schemas.limits import MAX_JSON_DEPTH, MAX_LOG_MESSAGE_BYTES, MAX_TEXT_CHARS
from precedent_schemas.questions import GetRequest, ListRequest, SearchRequest, StatsRequest

TEXT = b'"text":"a"'


def _nested(levels: int) -> bytes:
    """An event that is `levels` deep in all, in a field that nobody knows."""
    inner = levels - 1
    return b"{" + TEXT + b',"new":' + b"[" * inner + b"]" * inner + b"}"


MALFORMED = {
    "empty": (b"", "not JSON"),
    "blank": (b" \n", "not JSON"),
    "words": (b"5000 failed logins", "not JSON"),
    "cut off": (b'{"text": "a"', "not JSON"),
    "two objects": (b'{"text":"a"}{"text":"b"}', "not JSON"),
    "single quotes": (b"{'text': 'a'}", "not JSON"),
    "trailing comma": (b'{"text": "a",}', "not JSON"),
    "raw control character": (b'{"text": "a\x00"}', "not JSON"),
    "array": (b'[{"text": "a"}]', "not a JSON object"),
    "string": (b'"text"', "not a JSON object"),
    "number": (b"1", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "byte order mark": (b"\xef\xbb\xbf{" + TEXT + b"}", "byte order mark (BOM); send UTF-8"),
    "UTF-16": ('{"text":"a"}'.encode("utf-16"), "seems to be UTF-16; send UTF-8"),
    "UTF-16, big end first": (b"\xfe\xff" + '{"text":"a"}'.encode("utf-16-be"), "seems to be UTF-16"),
    "UTF-16 without mark": ('{"text":"a"}'.encode("utf-16-le"), "seems to be UTF-16"),
    "UTF-16 without mark, big end first": ('{"text":"a"}'.encode("utf-16-be"), "seems to be UTF-16"),
    "gzip": (gzip.compress(b"{" + TEXT + b"}"), "compressed with gzip; send the JSON itself"),
    "zstd": (bytes.fromhex("28b52ffd0458"), "compressed with zstd"),
    "Latin-1": (b'{"text":"M\xfcller"}', "not UTF-8: byte 10 is 0xfc"),
    "overlong UTF-8": (b'{"text":"\xc0\xaf"}', "not UTF-8"),
    "surrogate in UTF-8": (b'{"text":"\xed\xa0\x80"}', "not UTF-8"),
    "duplicate key": (b'{"text":"a","text":"b"}', "key 'text' stands twice"),
    "duplicate key, same value": (b"{" + TEXT + b"," + TEXT + b"}", "key 'text' stands twice"),
    "duplicate key, spelled otherwise": (b'{"text":"a","\\u0074ext":"b"}', "key 'text' stands twice"),
    "duplicate key below": (b"{" + TEXT + b',"attributes":{"k":1,"k":2}}', "key 'k' stands twice"),
    "duplicate key far below": (b"{" + TEXT + b',"new":[[{"x":{"k":1,"k":2}}]]}', "key 'k' stands twice"),
    "NaN": (b"{" + TEXT + b',"attributes":{"k":NaN}}', "NaN is not JSON"),
    "Infinity": (b"{" + TEXT + b',"attributes":{"k":Infinity}}', "Infinity is not JSON"),
    "-Infinity": (b"{" + TEXT + b',"attributes":{"k":-Infinity}}', "-Infinity is not JSON"),
    "NaN in an unknown field": (b"{" + TEXT + b',"new":[NaN]}', "NaN is not JSON"),
    "1e999": (b"{" + TEXT + b',"attributes":{"k":1e999}}', "number '1e999' is beyond"),
    "-1e999": (b"{" + TEXT + b',"attributes":{"k":-1e999}}', "number '-1e999' is beyond"),
    "1e999 in a list": (b"{" + TEXT + b',"attributes":{"k":[1,1e999]}}', "number '1e999' is beyond"),
    "endless digits with a fraction": (b"{" + TEXT + b',"new":' + b"9" * 400 + b".5}", "is beyond"),
    "endless integer": (b"{" + TEXT + b',"new":' + b"9" * 5000 + b"}", "too many digits"),
    "lone surrogate": (b'{"text":"\\ud800"}', "lone surrogate"),
    "lone low surrogate": (b'{"text":"a\\uDFFFb"}', "lone surrogate"),
    "surrogates in the wrong order": (b'{"text":"\\udc00\\ud800"}', "lone surrogate"),
    "lone surrogate in a key": (b"{" + TEXT + b',"\\ud800":1}', "lone surrogate"),
    "lone surrogate in an attribute's key": (b"{" + TEXT + b',"attributes":{"\\udfff":1}}', "lone surrogate"),
    "lone surrogate far below": (b"{" + TEXT + b',"new":[{"a":["\\udbff"]}]}', "lone surrogate"),
    "33 levels": (_nested(MAX_JSON_DEPTH + 1), "nested deeper than 32 levels"),
    "100,000 levels": (_nested(100_000), "nested deeper than 32 levels"),
    "100,000 levels, never closed": (b'{"text":' + b"[" * 100_000, "nested deeper than 32 levels"),
    "40,000 objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "nested deeper than 32 levels"),
}


@pytest.mark.parametrize(("data", "message"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(data: bytes, message: str) -> None:
    """What is no JSON object as the bus has them is malformed as a whole, and the words say what was found."""
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(data)
    assert caught.value.reason is DeadReason.MALFORMED
    (problem,) = caught.value.problems
    assert problem.field == ""
    assert message in problem.message
    assert message in str(caught.value)


INVALID = {
    "no text": (b"{}", "text"),
    "text is null": (b'{"text":null}', "text"),
    "text is a number": (b'{"text":1}', "text"),
    "text is a list": (b'{"text":["a"]}', "text"),
    "text is empty": (b'{"text":""}', "text"),
    "text is blank": (b'{"text":" \\t\\r\\n\\u00a0\\u2003"}', "text"),
    "severity is a string": (b"{" + TEXT + b',"severity":"3"}', "severity"),
    "severity is true": (b"{" + TEXT + b',"severity":true}', "severity"),
    "severity has a fraction": (b"{" + TEXT + b',"severity":3.5}', "severity"),
    "severity is 0": (b"{" + TEXT + b',"severity":0}', "severity"),
    "severity is 6": (b"{" + TEXT + b',"severity":6}', "severity"),
    "severity is huge": (b"{" + TEXT + b',"severity":' + b"9" * 4000 + b"}", "severity"),
    "id is a number": (b"{" + TEXT + b',"id":1}', "id"),
    "time is a number": (b"{" + TEXT + b',"occurred_at":1700000000}', "occurred_at"),
    "source is two lines": (b"{" + TEXT + b',"source":"a\\nb"}', "source"),
    "user is a number": (b"{" + TEXT + b',"user":0}', "user"),
    "ip is a number": (b"{" + TEXT + b',"ip":3405803783}', "ip"),
    "attributes is a list": (b"{" + TEXT + b',"attributes":[]}', "attributes"),
    "attribute is huge": (b"{" + TEXT + b',"attributes":{"k":9223372036854775808}}', "attributes"),
    "attribute is a list with null": (b"{" + TEXT + b',"attributes":{"k":[null]}}', "attributes"),
}


@pytest.mark.parametrize(("data", "field"), INVALID.values(), ids=INVALID.keys())
def test_invalid(data: bytes, field: str) -> None:
    """A known field that breaks its rule makes the event invalid, and the problem names the field."""
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(data)
    assert caught.value.reason is DeadReason.INVALID
    assert [problem.field for problem in caught.value.problems] == [field]


def test_every_wrong_field_is_named() -> None:
    """All that is wrong is said at once, with paths down to the part."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(SearchRequest, b'{"text":"a","k":0,"filter":{"severity":{"min":9},"ips":["203.0.113.7","x"]}}')
    assert {problem.field for problem in caught.value.problems} == {"filter.severity.min", "filter.ips.1", "k"}
    assert caught.value.reason is DeadReason.INVALID


def test_text_beyond_the_limit_is_too_large() -> None:
    """A text of 32,768 characters is taken, also with blanks around it; one more is too large, never cut."""
    longest = "\u00e4" * MAX_TEXT_CHARS
    assert codec.decode_event(codec.dump({"text": f" {longest}\n"})).text == longest
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(codec.dump({"text": longest + "a"}))
    assert caught.value.reason is DeadReason.TOO_LARGE
    assert [problem.field for problem in caught.value.problems] == ["text"]


def test_too_long_and_wrong_is_invalid() -> None:
    """Where another rule is broken too, a shorter text would not help: the event is invalid."""
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(codec.dump({"text": "a" * (MAX_TEXT_CHARS + 1), "severity": 9}))
    assert caught.value.reason is DeadReason.INVALID
    assert {problem.field for problem in caught.value.problems} == {"text", "severity"}


def test_message_beyond_the_limit_is_too_large() -> None:
    """A message of 256 KiB is taken; one byte more is too large, before anything in it is read."""
    filling = MAX_LOG_MESSAGE_BYTES - len(b'{"text":"a","new":""}')
    assert codec.decode_event(b'{"text":"a","new":"' + b"x" * filling + b'"}').text == "a"
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(b"\xff" * (MAX_LOG_MESSAGE_BYTES + 1))
    assert caught.value.reason is DeadReason.TOO_LARGE
    assert f"{MAX_LOG_MESSAGE_BYTES + 1} bytes" in str(caught.value)


def test_depth_of_32_is_taken() -> None:
    """The deepest legal message is read; with one level more it is refused (see the table)."""
    assert codec.decode_event(_nested(MAX_JSON_DEPTH)).text == "a"


def test_surrogate_pairs_and_escaped_backslashes_are_taken() -> None:
    """A pair of surrogates is one character, and an escaped backslash before `ud800` escapes nothing."""
    assert codec.decode_event(rb'{"text":"\ud83d\ude00 \\ud800"}').text == "\N{GRINNING FACE} \\ud800"


def test_unknown_fields_of_events_are_ignored() -> None:
    """An older indexer reads newer publishers: what it does not know changes nothing."""
    assert codec.decode_event(b"{" + TEXT + b',"tenant":{"a":[1]}}') == EventBody(text="a")
    outcome = codec.decode(Outcome, b'{"event_id":"a","verdict":"benign","tenant":"x"}')
    assert outcome == Outcome.model_validate({"event_id": "a", "verdict": "benign"})


@pytest.mark.parametrize("model", [ListRequest, StatsRequest])
def test_no_body_is_an_empty_object(model: type[ListRequest | StatsRequest]) -> None:
    """A question without a body asks with every default."""
    assert codec.decode(model, b"") == codec.decode(model, b"{}") == model()


def test_no_body_lacks_what_is_required() -> None:
    """Where something must be said, an empty body is invalid and the field is named."""
    with pytest.raises(DecodeError) as caught:
        codec.decode(GetRequest, b"")
    assert caught.value.reason is DeadReason.INVALID
    assert [problem.field for problem in caught.value.problems] == ["ids"]


SECRET = "hunter2" * 2_000
LEAKY = {
    "text of the wrong kind": {"text": [SECRET]},
    "long text": {"text": SECRET * 10},
    "long label": {"text": "a", "user": SECRET},
    "long id": {"text": "a", "id": SECRET},
    "long time": {"text": "a", "occurred_at": SECRET},
    "long address": {"text": "a", "ip": SECRET},
    "long severity": {"text": "a", "severity": SECRET},
    "long attribute key": {"text": "a", "attributes": {SECRET: 1}},
    "long attribute": {"text": "a", "attributes": {"k": {"inner": SECRET}}},
}
LEAKY_QUESTIONS = {
    **LEAKY,
    "unknown field": {"text": "a", SECRET: 1},
    "unknown field below": {"text": "a", "filter": {SECRET: 1}},
    "many unknown fields": {f"field{n}": 1 for n in range(5_000)},
}


@pytest.mark.parametrize(
    ("model", "value"),
    [
        *(pytest.param(EventBody, value, id=f"event: {name}") for name, value in LEAKY.items()),
        *(pytest.param(SearchRequest, value, id=f"question: {name}") for name, value in LEAKY_QUESTIONS.items()),
    ],
)
def test_errors_hold_no_payload(model: type[EventBody | SearchRequest], value: dict[str, object]) -> None:
    """However much was wrong, an error stays short: it shows the beginning of a value and no more."""
    with pytest.raises(DecodeError) as caught:
        codec.validate(model, value)
    assert all(len(problem.field) + len(problem.message) < 300 for problem in caught.value.problems)
    assert 1 <= len(caught.value.problems) <= 20
    assert "hunter2" * 8 not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'{"' + b"hunter2" * 2_000 + b'":1,"' + b"hunter2" * 2_000 + b'":1}',
        b'{"text":' + b"1" * 20_000 + b".0}",
        b'{"text":"' + b"hunter2" * 2_000,
        b"hunter2" * 2_000,
    ],
    ids=["long duplicate key", "long number", "never closed", "no JSON"],
)
def test_malformed_errors_hold_no_payload(data: bytes) -> None:
    """The words about malformed bytes are short and printable too."""
    with pytest.raises(DecodeError) as caught:
        codec.decode_event(data)
    assert len(str(caught.value)) < 200
    assert str(caught.value).isascii()


def test_encoded_log_messages_leave_out_what_is_absent() -> None:
    """The shortest event is as short as a person would write it, and characters stay themselves."""
    assert codec.encode_log_message(EventBody(text="Müller")) == '{"text":"Müller"}'.encode()
    assert codec.encode_log_message(Deletion(all=True)) == b'{"all":true}'


def test_numbers_keep_their_kind() -> None:
    """1 stays an integer, 1.0 a float and true a boolean, all the way through."""
    event = codec.decode_event(b'{"text":"a","attributes":{"a":1,"b":1.0,"c":true,"d":[1,2.0]}}')
    again = json.loads(codec.encode_log_message(event))["attributes"]
    assert [type(one) for one in (again["a"], again["b"], again["c"], *again["d"])] == [int, float, bool, int, float]


def test_dump_refuses_what_is_not_json() -> None:
    """No infinity leaves this side either."""
    with pytest.raises(ValueError, match="JSON compliant"):
        codec.dump({"similarity": float("inf")})


def test_largest_finite_numbers_are_taken() -> None:
    """The limit is that of a double, not below it."""
    largest = sys.float_info.max
    event = codec.decode_event(codec.dump({"text": "a", "attributes": {"k": largest, "l": [-largest]}}))
    assert event.attributes == {"k": largest, "l": [-largest]}
