"""Small limits of the server and of the settings: what does not fit is refused by name, and nothing breaks."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from harness.stack import Stack, running_stack
from harness.wire import Wire

MAX_PAYLOAD = 64 * 1024
IN_HAND = 2
# One endless word: many bytes, and next to nothing to embed.
TEXT = "word1 " + "x" * 12_000


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def narrow_stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A server of small messages, and an indexer of few collections and few questions at once."""
    settings = {
        "PRECEDENT_MAX_COLLECTIONS": "4",
        "PRECEDENT_QUESTIONS_AT_ONCE": "1",
        "PRECEDENT_QUESTIONS_WAITING": str(IN_HAND - 1),
    }
    folder = tmp_path_factory.mktemp("narrow")
    async with running_stack(folder, server_config=f"max_payload: {MAX_PAYLOAD}", env=settings) as running:
        yield running


@pytest.fixture
async def narrow(narrow_stack: Stack) -> AsyncIterator[Wire]:
    """A plain NATS connection to it."""
    async with Wire.connected(narrow_stack.server.url) as connected:
        yield connected


async def with_long_events(wire: Wire, collection: str) -> None:
    """Eight events of which four fit one reply; called again, it revises them."""
    for number in range(8):
        seq = await wire.event(collection, f"{number} {TEXT}", id=f"e{number}")
    await wire.covered(seq)


async def test_a_search_too_large_for_one_message_names_the_k_that_fits(narrow: Wire) -> None:
    """413 instead of a cut connection; with the number it names, the same question is answered."""
    await with_long_events(narrow, "incidents")
    refusal = await narrow.refused("security.index.v1.incidents.search", {"text": "word1", "k": 8})
    assert (refusal.code, refusal.reason) == (413, "too_large")
    fits = int(refusal.message.split("at most ")[1].split()[0])
    assert 1 <= fits < 8
    assert len(await narrow.found("incidents", text="word1", k=fits)) == fits
    assert (await narrow.refused("security.index.v1.incidents.search", {"text": "word1", "k": fits + 1})).code == 413


async def test_a_get_too_large_for_one_message_names_how_many_fit(narrow: Wire) -> None:
    """As for a search."""
    await with_long_events(narrow, "incidents")
    ids = [f"e{number}" for number in range(8)]
    refusal = await narrow.refused("security.index.v1.incidents.get", {"ids": ids})
    assert (refusal.code, refusal.reason) == (413, "too_large")
    fits = int(refusal.message.split("at most ")[1].split()[0])
    assert 1 <= fits < 8
    assert len((await narrow.of("incidents", "get", ids=ids[:fits]))["events"]) == fits


async def test_a_listing_gives_fewer_and_a_cursor(narrow: Wire) -> None:
    """What does not fit one page is on the next: nothing is lost, nothing refused."""
    await with_long_events(narrow, "incidents")
    shown: list[str] = []
    sizes: list[int] = []
    cursor: dict[str, object] = {}
    while True:
        reply = await narrow.of("incidents", "list", order="oldest", limit=1000, **cursor)
        sizes.append(len(reply["events"]))
        shown += [entry["event"]["id"] for entry in reply["events"]]
        if reply["cursor"] is None:
            break
        cursor = {"cursor": reply["cursor"]}
    assert shown == [f"e{number}" for number in range(8)]
    assert max(sizes) < 8


async def test_an_event_that_no_reply_can_hold_blocks_no_listing(narrow: Wire) -> None:
    """It is in the log and in the index: the listing names it and goes on behind it, and `get` says what is wrong."""
    await narrow.event("rules", "before", id="before")
    # Just below the server's limit as a message, and beyond nine tenths of it as a reply.
    body = json.dumps({"text": "é" * 30_000, "id": "large"}, ensure_ascii=False).encode()
    large = await narrow.publish("security.events.v1.rules.test", body)
    await narrow.covered(await narrow.event("rules", "behind", id="behind"))
    for order in ("oldest", "newest"):
        shown: list[str] = []
        left_out: list[tuple[str, int]] = []
        cursor: dict[str, object] = {}
        while True:
            reply = await narrow.of("rules", "list", order=order, limit=1, **cursor)
            shown += [entry["event"]["id"] for entry in reply["events"]]
            left_out += [(one["id"], one["seq"]) for one in reply["too_large"]]
            if reply["cursor"] is None:
                break
            cursor = {"cursor": reply["cursor"]}
        assert sorted(shown) == ["before", "behind"]
        assert left_out == [("large", large)]
    refusal = await narrow.refused("security.index.v1.rules.get", {"ids": ["large"]})
    assert refusal.code == 413
    assert "max_payload" in refusal.message


async def test_a_dead_letter_that_no_reply_can_hold_blocks_no_listing(narrow: Wire) -> None:
    """It can be dropped by the sequence that the listing names."""
    large = await narrow.publish("security.events.v1.incidents.test", b"x" * 60_000)
    small = await narrow.publish("security.events.v1.incidents.test", b"no JSON")
    await narrow.covered(small)
    first = await narrow.ask("security.deadletters.v1.list", {"limit": 1})
    assert [one["seq"] for one in first["dead_letters"]] == [small]
    second = await narrow.ask("security.deadletters.v1.list", {"limit": 1, "cursor": first["cursor"]})
    assert (second["dead_letters"], second["too_large"]) == ([], [large])
    assert "max_payload" in (await narrow.refused("security.deadletters.v1.get", {"seqs": [large]})).message
    dropped = await narrow.ask("security.deadletters.v1.drop", {"seqs": [large]})
    assert dropped["dropped"] == [large]


async def test_one_question_too_many_is_429_and_the_others_are_answered(narrow: Wire) -> None:
    """The queue is bounded: who comes when it is full is told to come later, and later is answered."""
    await narrow.covered(await narrow.event("incidents", "an event", id="a"))
    last = (await narrow.stats())["stream_seq"]
    waiting = [
        asyncio.create_task(narrow.search("incidents", text="event", k=1, min_seq=last + 1)) for _ in range(IN_HAND)
    ]
    await asyncio.sleep(0)  # both are sent before what follows, on the same connection
    refusal = await narrow.refused("security.index.v1.incidents.search", {"text": "event"})
    assert (refusal.code, refusal.reason) == (429, "overloaded")
    seq = await narrow.event("incidents", "an event", id="a")
    replies = await asyncio.gather(*waiting)
    assert all(reply["indexed_seq"] >= seq for reply in replies)
    assert await narrow.found("incidents", text="event", k=1)


async def test_one_collection_too_many_is_a_dead_letter(narrow: Wire) -> None:
    """Beyond the cap a new collection is refused as unprocessable; those that exist go on."""
    for name in ("third", "fourth"):
        await narrow.covered(await narrow.event(name, "an event"))
    seq = await narrow.event("fifth", "an event")
    await narrow.covered(seq)
    [letter] = await narrow.dead_letters("fifth")
    assert letter.subject == "security.dead.v1.fifth.unprocessable"
    assert letter.headers["Precedent-Stream-Seq"] == str(seq)
    assert "PRECEDENT_MAX_COLLECTIONS" in letter.headers["Precedent-Detail"]
    assert (await narrow.refused("security.index.v1.fifth.search", {"text": "event"})).code == 404
    await narrow.covered(await narrow.event("fourth", "an event"))
    assert (await narrow.of("fourth", "stats"))["count"] == 2
    assert len((await narrow.stats())["collections"]) == 4


async def test_an_outcome_makes_no_collection(narrow: Wire) -> None:
    """A collection begins with an event: outcomes alone neither make one nor take up the cap."""
    await narrow.covered(await narrow.outcome("never-seen", "a", "benign"))
    assert "never-seen" not in (await narrow.stats())["collections"]
    assert (await narrow.refused("security.index.v1.never-seen.stats")).code == 404
