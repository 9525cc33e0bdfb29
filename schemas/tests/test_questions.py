"""Questions: what callers may ask, at both edges of every limit."""

import json
from typing import Any

import pytest

from precedent_schemas import codec, questions
from precedent_schemas.codec import DecodeError
from precedent_schemas.failures import DeadReason
from precedent_schemas.questions import Filter, Question, RecurrenceRequest, SearchRequest

REQUESTS: dict[type[Question], dict[str, Any]] = {
    SearchRequest: {"text": "a"},
    RecurrenceRequest: {"text": "a"},
    questions.GetRequest: {"ids": ["a"]},
    questions.ListRequest: {},
    questions.DeleteRequest: {"ids": ["a"]},
    questions.ClearRequest: {"confirm": "incidents"},
    questions.StatsRequest: {},
    questions.DeadListRequest: {},
    questions.DeadSeqsRequest: {"seqs": [1]},
    questions.DeadReplayRequest: {"seqs": [1]},
    Filter: {},
    questions.SeverityRange: {},
    questions.TimeRange: {},
}


def _ask(model: type[Question], value: dict[str, Any]) -> Question:
    return codec.decode(model, json.dumps(value).encode())


def _refused(model: type[Question], value: dict[str, Any]) -> list[str]:
    """Fields that are named when `value` is refused."""
    with pytest.raises(DecodeError) as caught:
        _ask(model, value)
    assert caught.value.reason is DeadReason.INVALID
    return [problem.field for problem in caught.value.problems]


@pytest.mark.parametrize("model", REQUESTS, ids=lambda model: str(model.__name__))
def test_unknown_field_is_refused(model: type[Question]) -> None:
    """A misspelled field never widens an answer: it is refused by its name."""
    assert _ask(model, REQUESTS[model])
    assert _refused(model, {**REQUESTS[model], "fliter": 1}) == ["fliter"]


@pytest.mark.parametrize(
    ("model", "value", "said"),
    [
        (questions.ClearRequest, {"confirm": "incidents", "al": 1}, "no such field; there are: confirm"),
        (questions.StatsRequest, {"min_seq": 1}, "no such field; there are: none"),
        (SearchRequest, {"text": "a", "filter": {"severity": {"least": 1}}}, "no such field; there are: min, max"),
    ],
)
def test_the_fields_that_there_are_are_named(model: type[Question], value: dict[str, Any], said: str) -> None:
    """Who misspells a field is told the names that would have been right at that place."""
    with pytest.raises(DecodeError) as caught:
        _ask(model, value)
    assert [problem.message for problem in caught.value.problems] == [said]


@pytest.mark.parametrize("model", [SearchRequest, RecurrenceRequest])
@pytest.mark.parametrize(
    "about", [{}, {"text": "a", "id": "b"}, {"text": None}, {"id": None}, {"text": None, "id": None}]
)
def test_text_xor_id(model: type[Question], about: dict[str, Any]) -> None:
    """A question about nothing, or about two things, is refused as a whole."""
    assert _refused(model, about) == [""]


@pytest.mark.parametrize("model", [SearchRequest, RecurrenceRequest])
@pytest.mark.parametrize("about", [{"text": "a"}, {"id": "b"}, {"text": "a", "id": None}, {"id": "seq-1"}])
def test_text_or_id(model: type[Question], about: dict[str, Any]) -> None:
    """One of both is enough; null is as good as absent, and an id may be one that the log gave."""
    assert _ask(model, about)


def test_defaults() -> None:
    """What a short question means."""
    search = SearchRequest(text="a")
    assert (search.k, search.min_similarity, search.filter, search.min_seq) == (5, None, None, None)
    recurrence = RecurrenceRequest(text="a")
    assert (recurrence.min_similarity, recurrence.bucket) == (0.6, "day")
    listing = questions.ListRequest()
    assert (listing.order, listing.limit, listing.cursor) == ("newest", 100, None)
    assert questions.DeadReplayRequest(seqs=[1]).force is False


EDGES: list[tuple[type[Question], str, list[Any], list[Any]]] = [
    (SearchRequest, "k", [1, 1000], [0, 1001, -1, True, 5.0, "5", None]),
    (SearchRequest, "min_similarity", [-1, -1.0, 0, 0.5, 1, 1.0, None], [-1.01, 1.01, True, "0.5", 10**400]),
    (SearchRequest, "min_seq", [1, 2**63 - 1, None], [0, -1, 2**63, True, 1.0, "1"]),
    (SearchRequest, "wait_ms", [0, 30_000], [-1, 30_001, True, 0.5, "0", None]),
    (RecurrenceRequest, "min_similarity", [-1, 1], [-1.01, 1.01, True, None]),
    (RecurrenceRequest, "bucket", ["minute", "hour", "day"], ["week", "", "DAY", 1, None]),
    (questions.GetRequest, "ids", [["a"], ["seq-1"], ["a"] * 1000], [[], ["a"] * 1001, "a", None]),
    (questions.ListRequest, "limit", [1, 1000], [0, 1001, True, 1.0, None]),
    (questions.ListRequest, "order", ["newest", "oldest"], ["random", 0, None]),
    (questions.ListRequest, "cursor", ["a", "a" * 512, None], ["", "a" * 513, 1]),
    (questions.DeleteRequest, "ids", [["a"], ["a"] * 1000], [[], ["a"] * 1001]),
    (questions.ClearRequest, "confirm", ["rules", "abc", "a" * 63], ["", "ab", "a" * 64, "Rules", True, None]),
    (questions.DeadListRequest, "limit", [1, 1000], [0, 1001, True]),
    (questions.DeadSeqsRequest, "seqs", [[1], [2**63 - 1], [1] * 1000], [[], [1] * 1001, 1, None]),
    (questions.DeadReplayRequest, "force", [True, False], [1, "true", None]),
    (Filter, "kinds", [["a"], ["a.b.c.d"], ["a"] * 1000, None], [[], ["a"] * 1001, "a"]),
    (Filter, "sources", [["a"], ["a"] * 1000], [[], ["a"] * 1001]),
    (Filter, "users", [["a"], ["a"] * 1000], [[], ["a"] * 1001]),
    (Filter, "ips", [["::1"], ["1.2.3.4"] * 1000], [[], ["1.2.3.4"] * 1001]),
    (Filter, "networks", [["::/0"], ["1.2.3.4/8"] * 1000], [[], ["::/0"] * 1001]),
    (Filter, "verdicts", [["benign"], ["unknown"] * 1000], [[], ["unknown"] * 1001]),
    (Filter, "exclude_ids", [[], ["a"] * 1000], [["a"] * 1001]),
    (Filter, "contains", ["a", " ", "a" * 32_768], ["", "a" * 32_769, 1]),
    (Filter, "attributes", [{}, {"a": 1}, {"a": [1, "b", True]}], [{"a": []}, {"a": [1] * 1001}, {"a b": 1}, []]),
]


@pytest.mark.parametrize(
    ("model", "field", "legal", "illegal"), EDGES, ids=lambda case: getattr(case, "__name__", None)
)
def test_edges(model: type[Question], field: str, legal: list[Any], illegal: list[Any]) -> None:
    """Both ends of every limit are taken and the next value is not; a boolean is no integer, a number no string."""
    for value in legal:
        assert _ask(model, {**REQUESTS[model], field: value}), value
    for value in illegal:
        assert set(_refused(model, {**REQUESTS[model], field: value})) == {field}, value


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        ("kinds", "Auth"),
        ("kinds", "a.b.c.d.e"),
        ("sources", ""),
        ("users", "a" * 257),
        ("ips", "203.0.113.0/24"),
        ("networks", "203.0.113.0/33"),
        ("verdicts", "guilty"),
        ("exclude_ids", "a b"),
    ],
)
def test_entries_of_a_filter(part: str, wrong: str) -> None:
    """A wrong entry of a list is named by its position."""
    fine = {"kinds": "a", "ips": "::1", "networks": "::/0", "verdicts": "benign"}.get(part, "a")
    assert _refused(SearchRequest, {"text": "a", "filter": {part: [fine, wrong]}}) == [f"filter.{part}.1"]


@pytest.mark.parametrize("bound", ["min", "max"])
def test_severity_bounds(bound: str) -> None:
    """1 to 5, an integer."""
    for legal in (1, 5):
        assert _ask(Filter, {"severity": {bound: legal}})
    for illegal in (0, 6, True, 2.5):
        assert _refused(Filter, {"severity": {bound: illegal}}) == [f"severity.{bound}"]


@pytest.mark.parametrize("bound", ["after", "before"])
def test_time_bounds(bound: str) -> None:
    """RFC 3339 with an offset, as in events."""
    assert _ask(Filter, {"occurred_at": {bound: "2026-01-31T12:00:00+01:00"}})
    assert _refused(Filter, {"occurred_at": {bound: "2026-01-31T12:00:00"}}) == [f"occurred_at.{bound}"]


def test_filters_are_normalised() -> None:
    """A filter finds what events were normalised to."""
    asked = Filter(ips=["::ffff:203.0.113.7", "2001:DB8::1"], networks=["203.0.113.7/24"])
    assert asked.ips == ["203.0.113.7", "2001:db8::1"]
    assert asked.networks == ["203.0.113.0/24"]


def test_text_of_a_question_is_trimmed_like_an_events() -> None:
    """The same words are the same text, whoever says them."""
    assert SearchRequest(text="  a b\n").text == "a b"
    assert _refused(SearchRequest, {"text": " \n"}) == ["text"]
