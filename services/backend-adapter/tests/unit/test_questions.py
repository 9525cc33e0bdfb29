"""Questions: what is sent, how long is waited, and which error stands for which answer."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from scripted import client

from precedent_backend_adapter import (
    Config,
    Conflict,
    Filter,
    IndexerFailed,
    NotFound,
    NotIndexedYet,
    NotPermitted,
    NotTrusted,
    Overloaded,
    Precedent,
    PrecedentError,
    ProtocolError,
    Receipt,
    Refused,
    TooLarge,
    Unavailable,
)
from precedent_backend_adapter._transport import Fault, FaultKind, Reply
from precedent_schemas import catalogue
from precedent_schemas.failures import ERROR_CODES, ErrorReason

COVERED: dict[str, Any] = {"indexed_seq": 3, "stream_seq": 4, "model": {"name": "m", "fingerprint": "f"}}
NO_HITS = {**COVERED, "hits": [], "summary": {"verdicts": {}, "mitigations": {}}}
STATS = {
    **COVERED,
    "model": {**COVERED["model"], "runtime": "r"},
    "version": "1",
    "uptime_seconds": 1,
    "collections": {},
    "stream": {"last_seq": 4, "messages": 4, "bytes": 10},
    "pending": 0,
    "ack_pending": 0,
    "redelivered": 0,
    "dead_letters": 0,
}
RECURRENCE = {**COVERED, "total": 0, "capped": False, "buckets": [], "users": 0, "ips": 0}


def answer(body: object, **headers: str) -> Reply:
    """An answer of the service."""
    return Reply(json.dumps(body).encode(), headers)


def error(code: int, reason: str, details: list[dict[str, str]] | None = None) -> Reply:
    """An error of the service."""
    body = {"error": {"code": code, "reason": reason, "message": "in short", "details": details or []}}
    return Reply(json.dumps(body).encode(), {"Nats-Service-Error-Code": str(code), "Nats-Service-Error": "in short"})


Ask = Callable[[Precedent], Awaitable[object]]

ASKED: dict[str, tuple[Ask, object]] = {
    "search": (lambda p: p.search("x", collection="rules"), NO_HITS),
    "recurrence": (lambda p: p.recurrence("x", collection="rules"), RECURRENCE),
    "get": (lambda p: p.get(["a"], collection="rules"), {**COVERED, "events": [], "missing": ["a"]}),
    "list": (lambda p: p.list_page(collection="rules"), {**COVERED, "events": []}),
    "delete": (lambda p: p.delete(["a"], collection="rules"), {"deleted": ["a"], "missing": []}),
    "clear": (lambda p: p.clear("rules", confirm="rules"), {"deleted": 3}),
    "collection-stats": (lambda p: p.collection_stats("rules"), {**COVERED, "count": 3}),
    "stats": (lambda p: p.stats(), STATS),
    "dead-list": (lambda p: anext(p.dead_letters(), None), {"dead_letters": []}),
    "dead-get": (lambda p: p.get_dead_letters([1]), {"dead_letters": [], "missing": [1]}),
    "dead-replay": (lambda p: p.replay_dead_letters([1]), {"replayed": [], "refused": [], "missing": [1]}),
    "dead-drop": (lambda p: p.drop_dead_letters([1]), {"dropped": [1], "missing": []}),
}


def test_every_endpoint_of_the_service_can_be_asked() -> None:
    """No endpoint of the contract is without a method, but for long work on the index, which is the operator's."""
    assert ASKED.keys() | {"rebuild", "verify"} == catalogue.BY_NAME.keys()


@pytest.mark.parametrize("name", ASKED)
async def test_each_question_goes_where_the_contract_says(name: str) -> None:
    """Subject and body of each question are what the catalogue's request model takes."""
    ask, body = ASKED[name]
    precedent, wire = client(answer(body))
    await ask(precedent)
    [sent] = wire.sent
    endpoint = catalogue.BY_NAME[name]
    assert sent.subject == endpoint.subject.replace("*", "rules")
    endpoint.request.model_validate(json.loads(sent.payload))


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (ErrorReason.INVALID_REQUEST, Refused),
        (ErrorReason.NOT_FOUND, NotFound),
        (ErrorReason.REFUSED, Conflict),
        (ErrorReason.TOO_LARGE, TooLarge),
        (ErrorReason.OVERLOADED, Overloaded),
        (ErrorReason.INTERNAL, IndexerFailed),
        (ErrorReason.UNAVAILABLE, Unavailable),
        (ErrorReason.NOT_INDEXED_YET, NotIndexedYet),
    ],
)
async def test_each_reason_on_the_wire_has_its_exception(reason: ErrorReason, kind: type[PrecedentError]) -> None:
    """An error answer becomes exactly the exception that stands for its code."""
    precedent, _ = client(error(ERROR_CODES[reason], reason, [{"field": "k", "message": "too many"}]))
    with pytest.raises(PrecedentError) as caught:
        await precedent.search("x")
    assert type(caught.value) is kind
    assert "in short" in str(caught.value)
    if isinstance(caught.value, Refused):
        assert (caught.value.code, caught.value.reason) == (ERROR_CODES[reason], reason)
        assert [one.field for one in caught.value.problems] == ["k"]


@pytest.mark.parametrize(("code", "kind"), [(418, Refused), (599, IndexerFailed)])
async def test_a_code_of_a_later_version_falls_to_its_hundred(code: int, kind: type[PrecedentError]) -> None:
    """An error that this version does not know is still an error of the right side."""
    precedent, _ = client(error(code, "novel"))
    with pytest.raises(PrecedentError) as caught:
        await precedent.stats()
    assert type(caught.value) is kind


async def test_an_error_without_our_body_is_read_from_its_headers() -> None:
    """An error by the conventions of NATS services alone is understood."""
    precedent, _ = client(Reply(b"", {"Nats-Service-Error-Code": "404", "Nats-Service-Error": "no such thing"}))
    with pytest.raises(NotFound, match="no such thing"):
        await precedent.stats()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"\xff", {}),
        Reply(b"[]", {}),
        Reply(b'{"hits": 3}', {}),
        Reply(b"", {"Nats-Service-Error-Code": "x"}),
    ],
)
async def test_an_answer_that_is_none_is_a_protocol_error(reply: Reply) -> None:
    """Bytes that are no answer never come through as one, nor as another library's exception."""
    precedent, _ = client(reply)
    with pytest.raises(ProtocolError, match=r"security\.index\.v1\.incidents\.search"):
        await precedent.search("x")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.NO_ANSWER, Unavailable),
        (FaultKind.CUT, Unavailable),
        (FaultKind.NOT_SENT, Unavailable),
        (FaultKind.NO_RESPONDERS, Unavailable),
        (FaultKind.BUSY, Unavailable),
        (FaultKind.CLOSED, Unavailable),
        (FaultKind.NOT_PERMITTED, NotPermitted),
        (FaultKind.DEAF, NotPermitted),
        (FaultKind.NOT_TRUSTED, NotTrusted),
        (FaultKind.TOO_LARGE, TooLarge),
        (FaultKind.REJECTED, ProtocolError),
        (FaultKind.UNEXPECTED, ProtocolError),
    ],
)
async def test_each_fault_of_the_wire_has_its_exception(kind: FaultKind, expected: type[PrecedentError]) -> None:
    """A question that gets no answer raises what the caller can act on, with the fault chained."""
    precedent, wire = client(Fault(kind, "the wire"))
    with pytest.raises(PrecedentError) as caught:
        await precedent.search("x")
    assert type(caught.value) is expected
    assert isinstance(caught.value.__cause__, Fault)
    assert len(wire.sent) == 1


@pytest.mark.parametrize(("name", "warned"), [("delete", True), ("clear", True), ("dead-replay", True), ("get", False)])
async def test_a_change_without_an_answer_may_have_happened(name: str, warned: bool) -> None:
    """A question that changes something says that it may have been carried out; one that reads does not."""
    precedent, _ = client(Fault(FaultKind.NO_ANSWER, "silence"))
    with pytest.raises(Unavailable) as caught:
        await ASKED[name][0](precedent)
    assert ("may have been carried out" in str(caught.value)) is warned


async def test_without_a_connection_a_question_ends_in_time() -> None:
    """A question asked while disconnected fails as unavailable and is not sent later."""
    precedent, wire = client(answer(NO_HITS))
    wire.connected.clear()
    with pytest.raises(Unavailable):
        await precedent.search("x", timeout=0.01)
    assert wire.sent == []


@pytest.mark.parametrize(
    ("ask", "field"),
    [
        (lambda p: p.search("x", k=0), "k"),
        (lambda p: p.search("x", k=1_001), "k"),
        (lambda p: p.search(), ""),
        (lambda p: p.search("x", id="y"), ""),
        (lambda p: p.search("x", min_similarity=1.5), "min_similarity"),
        (lambda p: p.search("x", collection="No"), "collection"),
        (lambda p: p.search("x", collection="a.*"), "collection"),
        (lambda p: p.search("x", after=0), "min_seq"),
        (lambda p: p.search("x", wait=31), "wait_ms"),
        (lambda p: p.search("x", wait=-1), "wait"),
        (lambda p: p.search("x", timeout=0), "timeout"),
        (lambda p: p.search("x", after=3, wait=2, timeout=1), "timeout"),
        (lambda p: p.get([]), "ids"),
        (lambda p: p.get("abc"), "ids"),
        (lambda p: p.get(["a b"]), "ids.0"),
        (lambda p: p.list_page(cursor=""), "cursor"),
        (lambda p: p.clear("rules", confirm="rule"), "confirm"),
        (lambda p: p.drop_dead_letters([0]), "seqs.0"),
    ],
)
async def test_bad_arguments_are_refused_before_anything_is_sent(ask: Ask, field: str) -> None:
    """What the service would refuse is refused here as it would, naming the field."""
    precedent, wire = client(answer(NO_HITS))
    with pytest.raises(Refused) as caught:
        await ask(precedent)
    assert [one.field for one in caught.value.problems] == [field]
    assert (caught.value.code, caught.value.reason) == (400, "invalid_request")
    assert field in str(caught.value)
    assert wire.sent == []


async def test_defaults_are_those_of_the_wire() -> None:
    """Arguments that are not given leave the service's defaults in place."""
    precedent, wire = client(answer(NO_HITS))
    await precedent.search("x", filter=Filter(kinds=["auth"]))
    request = catalogue.SEARCH.request.model_validate(json.loads(wire.sent[0].payload))
    assert request == catalogue.SEARCH.request.model_validate({"text": "x", "filter": {"kinds": ["auth"]}})


@pytest.mark.parametrize(
    ("arguments", "wait_ms", "least", "most"),
    [
        ({}, 2_000, 9, 10),
        ({"after": 3}, 2_000, 11, 12),
        ({"after": Receipt("a", "incidents", 3)}, 2_000, 11, 12),
        ({"after": 3, "wait": 5.0}, 5_000, 14, 15),
        ({"after": 3, "timeout": 1.0}, 500, 0.5, 1),
        ({"after": 3, "timeout": 60.0}, 2_000, 59, 60),
        ({"after": 3, "timeout": 60.0, "wait": 30}, 30_000, 59, 60),
    ],
)
async def test_we_wait_longer_than_the_indexer_does(
    arguments: dict[str, Any], wait_ms: int, least: float, most: float
) -> None:
    """Reading one's own write never runs into our timeout before the indexer has said 504."""
    precedent, wire = client(answer(NO_HITS), config=Config())
    await precedent.search("x", **arguments)
    [sent] = wire.sent
    assert json.loads(sent.payload)["wait_ms"] == wait_ms
    assert least <= sent.seconds <= most
    if arguments:
        assert json.loads(sent.payload)["min_seq"] == 3


async def test_list_follows_the_cursors_to_the_end() -> None:
    """Pages are asked for one after the other, each with the cursor of the page before."""
    stored = {"collection": "incidents", "kind": "a", "text": "t", "occurred_at": "2026-01-01T00:00:00Z", "severity": 1}
    first = {**COVERED, "events": [{"event": {**stored, "id": "a"}, "seq": 2}], "cursor": "more"}
    last = {**COVERED, "events": [{"event": {**stored, "id": "b"}, "seq": 1}]}
    precedent, wire = client(answer(first), answer(last))
    assert [entry.event.id async for entry in precedent.list(page_size=1)] == ["a", "b"]
    assert [json.loads(sent.payload)["cursor"] for sent in wire.sent] == [None, "more"]


async def test_a_request_beyond_the_servers_limit_is_not_sent() -> None:
    """It would close the connection for good; it is refused instead, naming both sizes."""
    precedent, wire = client(answer(NO_HITS), max_payload=500)
    with pytest.raises(TooLarge, match="500"):
        await precedent.search("x" * 500)
    assert wire.sent == []
