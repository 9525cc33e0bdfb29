"""How often events like this one came."""

from typing import Any

import pytest

from harness.wire import Wire

LIKE = "failed login for root from an unknown address"
TIMES = {
    "a": "2026-01-01T10:00:00Z",
    "b": "2026-01-01T10:00:59.999Z",
    "c": "2026-01-01T10:01:00Z",
    "d": "2026-01-01T23:59:59.999Z",
    "e": "2026-01-02T01:30:00+02:00",
    "f": "2026-01-03T00:00:00Z",
}
WHO: dict[str, dict[str, Any]] = {
    "a": {"user": "ana", "ip": "192.0.2.1"},
    "b": {"user": "ana", "ip": "192.0.2.2"},
    "c": {"user": "bob", "ip": "192.0.2.2"},
    "d": {"user": "bob"},
    "f": {"ip": "192.0.2.1"},
}


async def filled(wire: Wire, collection: str) -> None:
    """Six events alike and one that is not."""
    for name, time in TIMES.items():
        await wire.event(collection, LIKE, id=name, occurred_at=time, **WHO.get(name, {}))
    await wire.covered(await wire.event(collection, "the coffee machine is broken", id="odd"))


def bucket(start: str, count: int, users: int, ips: int) -> dict[str, Any]:
    """One bucket of a reply."""
    return {"start": f"{start}:00.000Z", "count": count, "users": users, "ips": ips}


@pytest.mark.parametrize(
    ("width", "buckets"),
    [
        (
            "minute",
            [
                bucket("2026-01-01T10:00", 2, 1, 2),
                bucket("2026-01-01T10:01", 1, 1, 1),
                bucket("2026-01-01T23:30", 1, 0, 0),
                bucket("2026-01-01T23:59", 1, 1, 0),
                bucket("2026-01-03T00:00", 1, 0, 1),
            ],
        ),
        (
            "hour",
            [
                bucket("2026-01-01T10:00", 3, 2, 2),
                bucket("2026-01-01T23:00", 2, 1, 0),
                bucket("2026-01-03T00:00", 1, 0, 1),
            ],
        ),
        ("day", [bucket("2026-01-01T00:00", 5, 2, 2), bucket("2026-01-03T00:00", 1, 0, 1)]),
    ],
)
async def test_buckets_begin_at_whole_units_of_utc(
    wire: Wire, collection: str, width: str, buckets: list[dict[str, Any]]
) -> None:
    """Each event counts in its own bucket, with distinct users and addresses; empty buckets are left out."""
    await filled(wire, collection)
    reply = await wire.of(collection, "recurrence", text=LIKE, bucket=width)
    assert reply["buckets"] == buckets
    assert (reply["total"], reply["users"], reply["ips"], reply["capped"]) == (6, 2, 2, False)
    assert (reply["first_seen"], reply["last_seen"]) == ("2026-01-01T10:00:00.000Z", "2026-01-03T00:00:00.000Z")


async def test_by_id_the_event_itself_counts(wire: Wire, collection: str) -> None:
    """Recurrence of an event includes that event, and buckets are days unless told otherwise."""
    await filled(wire, collection)
    reply = await wire.of(collection, "recurrence", id="a")
    assert reply["total"] == 6
    assert [one["start"][:10] for one in reply["buckets"]] == ["2026-01-01", "2026-01-03"]
    assert (await wire.of(collection, "recurrence", id="odd"))["total"] == 1


async def test_the_least_similarity_and_the_filter_decide_who_counts(wire: Wire, collection: str) -> None:
    """Everything counts with a similarity of -1; a filter narrows it."""
    await filled(wire, collection)
    assert (await wire.of(collection, "recurrence", text=LIKE, min_similarity=-1))["total"] == 7
    narrowed = await wire.of(collection, "recurrence", text=LIKE, filter={"users": ["bob"]})
    assert narrowed["total"] == 2
    nothing = await wire.of(collection, "recurrence", text="quarterly sales report", min_similarity=0.9)
    assert (nothing["total"], nothing["buckets"], nothing["first_seen"]) == (0, [], None)
