"""Questions that cannot be answered: each with its code, its reason, and the field that is wrong."""

from typing import Any

import pytest

from harness.wire import Wire

# Verb, request, path of the field that is wrong (empty: the whole).
INVALID: list[tuple[str, Any, str]] = [
    ("search", {}, ""),
    ("search", None, ""),
    ("search", {"text": "x", "id": "a"}, ""),
    ("search", {"text": "  "}, "text"),
    ("search", {"text": 5}, "text"),
    ("search", {"id": "not an id"}, "id"),
    ("search", {"text": "x", "k": 0}, "k"),
    ("search", {"text": "x", "k": 1001}, "k"),
    ("search", {"text": "x", "k": "5"}, "k"),
    ("search", {"text": "x", "k": True}, "k"),
    ("search", {"text": "x", "min_similarity": 1.5}, "min_similarity"),
    ("search", {"text": "x", "min_seq": 0}, "min_seq"),
    ("search", {"text": "x", "min_seq": 1, "wait_ms": 30_001}, "wait_ms"),
    ("search", {"text": "x", "limit": 5}, "limit"),
    ("search", {"text": "x", "filter": {"kind": ["auth"]}}, "filter.kind"),
    ("search", {"text": "x", "filter": {"kinds": []}}, "filter.kinds"),
    ("search", {"text": "x", "filter": {"kinds": ["Auth"]}}, "filter.kinds.0"),
    ("search", {"text": "x", "filter": {"severity": {"min": 9}}}, "filter.severity.min"),
    ("search", {"text": "x", "filter": {"networks": ["10.0.0.0/99"]}}, "filter.networks.0"),
    ("search", {"text": "x", "filter": {"occurred_at": {"after": "2026-01-01"}}}, "filter.occurred_at.after"),
    ("search", {"text": "x", "filter": {"users": ["u"] * 1001}}, "filter.users"),
    ("search", {"text": "x", "filter": {"verdicts": ["guilty"]}}, "filter.verdicts.0"),
    ("search", b"not JSON", ""),
    ("search", b'["text"]', ""),
    ("search", b'{"text": "x", "text": "y"}', ""),
    ("search", b'{"text": "x", "min_similarity": NaN}', ""),
    ("search", b'{"text": "\xff"}', ""),
    ("recurrence", {"text": "x", "bucket": "week"}, "bucket"),
    ("recurrence", {"bucket": "day"}, ""),
    ("get", {}, "ids"),
    ("get", {"ids": []}, "ids"),
    ("get", {"ids": ["a"] * 1001}, "ids"),
    ("get", {"ids": "a"}, "ids"),
    ("list", {"limit": 0}, "limit"),
    ("list", {"limit": 1001}, "limit"),
    ("list", {"order": "best"}, "order"),
    ("list", {"cursor": "none of ours"}, "cursor"),
    ("delete", {"ids": []}, "ids"),
    ("delete", {"ids": ["a b"]}, "ids.0"),
    ("clear", {}, "confirm"),
    ("clear", {"confirm": "incidents"}, "confirm"),
    ("stats", {"verbose": True}, "verbose"),
]


@pytest.mark.parametrize(("verb", "request_body", "field"), INVALID)
async def test_a_wrong_request_is_400_and_names_the_field(
    wire: Wire, verb: str, request_body: object, field: str
) -> None:
    """What is not as the schema says is refused, and the details name where."""
    refusal = await wire.refused(f"security.index.v1.rules.{verb}", request_body)
    assert (refusal.code, refusal.reason) == (400, "invalid_request")
    assert refusal.fields == [field]


async def test_every_wrong_field_is_named_at_once(wire: Wire, collection: str) -> None:
    """A caller sees all mistakes of a request in one answer."""
    await wire.covered(await wire.event(collection, "a disk is full"))
    body = {"text": "x", "k": 0, "wait_ms": -1, "filter": {"severity": {"min": 0}}, "typo": 1}
    refusal = await wire.refused(f"security.index.v1.{collection}.search", body)
    assert set(refusal.fields) == {"k", "wait_ms", "filter.severity.min", "typo"}


async def test_the_services_stats_take_no_arguments(wire: Wire) -> None:
    """The verb without a collection refuses in the same way."""
    refusal = await wire.refused("security.index.v1.stats", {"verbose": True})
    assert (refusal.code, refusal.fields) == (400, ["verbose"])


@pytest.mark.parametrize(
    ("verb", "request_body"),
    [
        ("search", {"text": "x"}),
        ("search", {"id": "a"}),
        ("recurrence", {"text": "x"}),
        ("get", {"ids": ["a"]}),
        ("list", None),
        ("delete", {"ids": ["a"]}),
        ("clear", {"confirm": "no-such-collection"}),
        ("stats", None),
    ],
)
@pytest.mark.parametrize("name", ["no-such-collection", "No_Legal_Name"])
async def test_a_collection_that_does_not_exist_is_404(wire: Wire, verb: str, request_body: object, name: str) -> None:
    """Every verb says so, names the collection, and does not make it."""
    refusal = await wire.refused(f"security.index.v1.{name}.{verb}", request_body)
    assert (refusal.code, refusal.reason) == (404, "not_found")
    assert name in refusal.message
    assert name not in (await wire.stats())["collections"]


@pytest.mark.parametrize("verb", ["search", "recurrence"])
async def test_an_event_that_does_not_exist_is_404(wire: Wire, collection: str, verb: str) -> None:
    """A question about an unknown id says which one, in the details too."""
    await wire.covered(await wire.event(collection, "a disk is full"))
    refusal = await wire.refused(f"security.index.v1.{collection}.{verb}", {"id": "nobody"})
    assert (refusal.code, refusal.reason, refusal.fields) == (404, "not_found", ["id"])
    assert "nobody" in refusal.message


async def test_get_names_what_is_missing_instead(wire: Wire, collection: str) -> None:
    """Unknown ids are no error of a get; the order is that of the request, each id once."""
    for name in ("a", "b"):
        seq = await wire.event(collection, "a disk is full", id=name)
    await wire.covered(seq)
    reply = await wire.of(collection, "get", ids=["x", "b", "y", "a", "b"])
    assert [entry["event"]["id"] for entry in reply["events"]] == ["b", "a"]
    assert reply["missing"] == ["x", "y"]


async def test_a_dead_lettered_min_seq_is_409(wire: Wire, collection: str) -> None:
    """Who waits for the message that was refused is told so, and why, instead of waiting."""
    await wire.event(collection, "a disk is full")
    seq = await wire.publish(f"security.events.v1.{collection}.test", {"text": "x", "severity": 9})
    request = {"text": "x", "min_seq": seq, "wait_ms": 30_000}
    refusal = await wire.refused(f"security.index.v1.{collection}.search", request)
    assert (refusal.code, refusal.reason, refusal.fields) == (409, "refused", ["min_seq"])
    assert "invalid" in refusal.message
    assert "severity" in refusal.message


async def test_a_later_min_seq_is_not_refused(wire: Wire, collection: str) -> None:
    """Only the very message that died answers 409: one behind it is answered."""
    await wire.publish(f"security.events.v1.{collection}.test", {"text": "x", "severity": 9})
    seq = await wire.event(collection, "a disk is full", id="good")
    assert await wire.found(collection, text="disk", min_seq=seq) == ["good"]


async def test_a_min_seq_that_is_still_to_come_is_504(wire: Wire, collection: str) -> None:
    """The wait ends as asked, and the answer says how far the index is."""
    seq = await wire.event(collection, "a disk is full")
    await wire.covered(seq)
    request = {"text": "x", "min_seq": seq + 1_000_000, "wait_ms": 0}
    refusal = await wire.refused(f"security.index.v1.{collection}.search", request)
    assert (refusal.code, refusal.reason) == (504, "not_indexed_yet")
    assert str(seq + 1_000_000) in refusal.message


async def test_a_text_beyond_the_limit_is_refused_by_name(wire: Wire, collection: str) -> None:
    """A question may hold as much text as an event, and no more; it is never cut in silence."""
    await wire.covered(await wire.event(collection, "a disk is full"))
    assert await wire.search(collection, text="x" * 32_768)
    refusal = await wire.refused(f"security.index.v1.{collection}.search", {"text": "x" * 32_769})
    assert refusal.code in {400, 413}
    assert refusal.fields == ["text"]
