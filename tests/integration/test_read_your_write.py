"""A publish acknowledgement is a promise: with its sequence, the answer has the event."""

import asyncio

from harness.wire import Wire


async def test_every_write_of_a_burst_is_read(wire: Wire, collection: str) -> None:
    """Many at once, each asking for its own event right after its acknowledgement, and all find it."""

    async def write_and_read(number: int) -> tuple[int, bool]:
        text = f"user u{number} exported {number * 37} records from table customers_{number % 7}"
        seq = await wire.event(collection, text, id=f"e{number}")
        reply = await wire.search(collection, text=text, k=50, min_seq=seq)
        assert reply["indexed_seq"] >= seq
        return number, f"e{number}" in [hit["event"]["id"] for hit in reply["hits"]]

    results = await asyncio.gather(*(write_and_read(number) for number in range(80)))
    assert [number for number, was_there in results if not was_there] == []
    assert (await wire.of(collection, "stats"))["count"] == 80


async def test_a_reader_waits_for_a_revision_and_an_outcome_too(wire: Wire, collection: str) -> None:
    """Sequences of revisions and outcomes are waited for like those of first events."""
    for number in range(10):
        seq = await wire.event(collection, f"revision {number}", id="a")
        [hit] = (await wire.search(collection, text="revision", min_seq=seq))["hits"]
        assert (hit["event"]["text"], hit["seq"]) == (f"revision {number}", seq)
        seq = await wire.outcome(collection, "a", "benign", note=str(number))
        [hit] = (await wire.search(collection, text="revision", min_seq=seq))["hits"]
        assert hit["outcome"]["note"] == str(number)


async def test_waiting_keeps_nobody_else_waiting(wire: Wire, collection: str) -> None:
    """More questions than are worked on at once wait for a future sequence, and others are answered meanwhile."""
    seq = await wire.event(collection, "an event", id="a")
    await wire.covered(seq)
    waiting = [asyncio.create_task(wire.search(collection, text="event", min_seq=seq + 2)) for _ in range(40)]
    while len([task for task in waiting if not task.done()]) == 40:
        assert await wire.found(collection, text="event", k=1)
        if (await wire.event(collection, "another event")) >= seq + 2:
            break
    replies = await asyncio.gather(*waiting)
    assert all(reply["indexed_seq"] >= seq + 2 for reply in replies)
