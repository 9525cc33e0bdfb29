"""Listing page by page, while others publish and delete."""

import pytest

from harness.wire import Wire


async def pages(wire: Wire, collection: str, **request: object) -> list[list[str]]:
    """Ids of every page."""
    found: list[list[str]] = []
    cursor: dict[str, object] = {}
    while True:
        reply = await wire.of(collection, "list", **request, **cursor)
        found.append([entry["event"]["id"] for entry in reply["events"]])
        if reply["cursor"] is None:
            return found
        cursor = {"cursor": reply["cursor"]}


async def filled(wire: Wire, collection: str, count: int) -> list[str]:
    """Publish so many events; their ids, oldest first."""
    names = [f"e{number:02}" for number in range(count)]
    for name in names:
        seq = await wire.event(collection, f"event {name}", id=name, severity=1 + int(name[1:]) % 2)
    await wire.covered(seq)
    return names


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 3, 6, 7])
async def test_pages_hold_everything_once_and_in_order(wire: Wire, collection: str, order: str, limit: int) -> None:
    """However large the pages, together they are the whole; only the last has no cursor."""
    names = await filled(wire, collection, 6)
    found = await pages(wire, collection, order=order, limit=limit)
    assert [name for page in found for name in page] == (names if order == "oldest" else names[::-1])
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


async def test_newest_first_and_a_hundred_are_the_defaults(wire: Wire, collection: str) -> None:
    """A listing without a request shows the newest first, by stream sequence and not by time."""
    await wire.event(collection, "said to be old", id="a", occurred_at="2030-01-01T00:00:00Z")
    await wire.covered(await wire.event(collection, "said to be older", id="b", occurred_at="2020-01-01T00:00:00Z"))
    reply = await wire.ask(f"security.index.v1.{collection}.list")
    assert [entry["event"]["id"] for entry in reply["events"]] == ["b", "a"]
    assert reply["cursor"] is None
    for number in range(99):
        seq = await wire.event(collection, "one of many", id=f"e{number}")
    await wire.covered(seq)
    reply = await wire.ask(f"security.index.v1.{collection}.list")
    assert len(reply["events"]) == 100
    assert reply["cursor"] is not None


async def test_pages_keep_to_the_filter(wire: Wire, collection: str) -> None:
    """Every page is full of what passes, whatever lies between."""
    names = await filled(wire, collection, 12)
    found = await pages(wire, collection, order="oldest", limit=4, filter={"severity": {"min": 2}})
    assert found == [names[1:9:2], names[9:12:2]]


async def test_newest_first_is_not_disturbed_by_others(wire: Wire, collection: str) -> None:
    """What comes or is deleted meanwhile is not shown, and nothing else is lost or doubled."""
    names = await filled(wire, collection, 12)
    first = await wire.of(collection, "list", limit=4)
    await wire.covered(await wire.event(collection, "new", id="new"))
    await wire.of(collection, "delete", ids=[names[9], names[5]])
    second = await wire.of(collection, "list", limit=4, cursor=first["cursor"])
    await wire.covered(await wire.event(collection, "newer", id="newer"))
    await wire.of(collection, "delete", ids=[names[0]])
    third = await wire.of(collection, "list", limit=4, cursor=second["cursor"])
    shown = [entry["event"]["id"] for reply in (first, second, third) for entry in reply["events"]]
    assert shown == [name for name in names[::-1] if name not in {names[5], names[0]}]
    assert third["cursor"] is None


async def test_oldest_first_runs_into_what_comes_meanwhile(wire: Wire, collection: str) -> None:
    """A listing from the oldest on shows what is published while it goes on, at its end and once."""
    names = await filled(wire, collection, 8)
    first = await wire.of(collection, "list", order="oldest", limit=4)
    await wire.of(collection, "delete", ids=[names[1], names[6]])
    await wire.event(collection, "new", id="new")
    # A revision moves an event to its new place in the log.
    await wire.covered(await wire.event(collection, "moved", id=names[5]))
    rest = await pages(wire, collection, order="oldest", limit=4, cursor=first["cursor"])
    assert [entry["event"]["id"] for entry in first["events"]] == names[:4]
    assert [name for page in rest for name in page] == [names[4], names[7], "new", names[5]]


async def test_a_cursor_belongs_to_its_listing(wire: Wire, collection: str) -> None:
    """With another order, another filter or in another collection it is refused by name."""
    await filled(wire, collection, 3)
    cursor = (await wire.of(collection, "list", limit=1))["cursor"]
    await wire.covered(await wire.event(collection + "-2", "an event"))
    wrong: list[tuple[str, dict[str, object]]] = [
        (collection, {"order": "oldest"}),
        (collection, {"filter": {"kinds": ["auth"]}}),
        (collection + "-2", {}),
    ]
    for name, request in wrong:
        refusal = await wire.refused(f"security.index.v1.{name}.list", {**request, "cursor": cursor})
        assert (refusal.code, refusal.fields) == (400, ["cursor"])
    assert await wire.of(collection, "list", limit=2, cursor=cursor)


async def test_an_empty_collection_has_one_empty_page(wire: Wire, collection: str) -> None:
    """A collection that was emptied still exists."""
    await filled(wire, collection, 2)
    await wire.of(collection, "delete", ids=["e00", "e01"])
    reply = await wire.of(collection, "list")
    assert (reply["events"], reply["cursor"]) == ([], None)
