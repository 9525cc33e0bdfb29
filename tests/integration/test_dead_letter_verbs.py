"""The verbs on dead letters: listed, read, published anew, dropped."""

import base64
import shutil
from typing import Any

from harness.stack import NewIndexer
from harness.wire import Wire


async def ask(wire: Wire, verb: str, **request: object) -> dict[str, Any]:
    """One verb."""
    return await wire.ask(f"security.deadletters.v1.{verb}", request)


async def refused_event(wire: Wire, collection: str, payload: object = b"not json", **headers: str) -> int:
    """Publish what becomes a dead letter; the sequence that it has in the log."""
    seq = await wire.publish(f"security.events.v1.{collection}.auth", payload, headers)
    await wire.covered(seq)
    return seq


async def test_a_dead_letter_is_shown_whole(wire: Wire, collection: str) -> None:
    """List and get show reason, detail, subject, headers and the very bytes."""
    payload = b'{"text": "\xff\x00"}'
    seq = await refused_event(wire, collection, payload, traceparent="00-ab-cd-01")
    first = (await ask(wire, "list", limit=1))["dead_letters"]
    reply = await ask(wire, "get", seqs=[seq, 2**60])
    assert reply["missing"] == [2**60]
    assert reply["dead_letters"] == first
    [letter] = first
    assert base64.b64decode(letter["data"]) == payload
    assert (letter["seq"], letter["reason"], letter["deliveries"]) == (seq, "malformed", 1)
    assert letter["subject"] == f"security.events.v1.{collection}.auth"
    assert letter["headers"] == {"traceparent": ["00-ab-cd-01"]}
    assert "UTF-8" in letter["detail"]
    assert letter["dead_at"].endswith("Z")


async def test_pages_show_each_dead_letter_once_newest_first(wire: Wire, collection: str) -> None:
    """Following the cursor gives all of them, whatever the size of a page."""
    seqs = [await refused_event(wire, collection) for _ in range(5)]
    shown: list[int] = []
    cursor: dict[str, object] = {}
    while True:
        reply = await ask(wire, "list", limit=2, **cursor)
        assert len(reply["dead_letters"]) <= 2
        shown += [letter["seq"] for letter in reply["dead_letters"]]
        if reply["cursor"] is None:
            break
        cursor = {"cursor": reply["cursor"]}
    assert shown[:5] == seqs[::-1]
    assert len(shown) == len(set(shown)) == (await wire.stats())["dead_letters"]


async def test_a_replay_publishes_the_same_bytes_and_headers_anew(wire: Wire, collection: str) -> None:
    """What is still wrong dies again under its new sequence; the old dead letter is gone."""
    seq = await refused_event(wire, collection, traceparent="00-ab-cd-01")
    [replayed] = (await ask(wire, "replay", seqs=[seq]))["replayed"]
    assert replayed["seq"] == seq
    assert replayed["new_seq"] > seq
    await wire.covered(replayed["new_seq"])
    stored = await wire.stored(replayed["new_seq"])
    assert stored is not None
    assert (stored.subject, stored.data) == (f"security.events.v1.{collection}.auth", b"not json")
    assert stored.headers["traceparent"] == "00-ab-cd-01"
    reply = await ask(wire, "get", seqs=[seq, replayed["new_seq"]])
    assert [letter["seq"] for letter in reply["dead_letters"]] == [replayed["new_seq"]]
    assert reply["missing"] == [seq]


async def test_what_was_mended_is_indexed_by_a_replay(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A collection beyond the cap: with a larger cap and a replay, its event is found."""
    async with new_indexer(PRECEDENT_MAX_COLLECTIONS="2"):
        seq = await refused_event(own_wire, "third", {"text": "one too many", "id": "a"})
        assert (await ask(own_wire, "get", seqs=[seq]))["dead_letters"][0]["reason"] == "unprocessable"
    async with new_indexer(PRECEDENT_MAX_COLLECTIONS="3"):
        [replayed] = (await ask(own_wire, "replay", seqs=[seq]))["replayed"]
        assert await own_wire.found("third", text="one too many", min_seq=replayed["new_seq"]) == ["a"]
        assert (await own_wire.stats())["dead_letters"] == 0


async def test_a_replay_never_takes_a_later_revision_back(wire: Wire, collection: str) -> None:
    """Where the id has a later revision, the replay is refused and says which; with force it is published."""
    seq = await refused_event(wire, collection, {"id": "a", "text": "old", "severity": 9})
    later = await wire.event(collection, "new", id="a")
    await wire.covered(later)
    reply = await ask(wire, "replay", seqs=[seq])
    assert reply["replayed"] == []
    [refusal] = reply["refused"]
    assert refusal["seq"] == seq
    assert str(later) in refusal["message"]
    assert (await ask(wire, "get", seqs=[seq]))["missing"] == []
    assert len((await ask(wire, "replay", seqs=[seq], force=True))["replayed"]) == 1


async def test_a_dropped_dead_letter_is_gone(wire: Wire, collection: str) -> None:
    """It is in neither stream any more, and cannot be dropped twice."""
    seq = await refused_event(wire, collection)
    kept = await refused_event(wire, collection)
    assert await ask(wire, "drop", seqs=[seq, 2**60]) == {"dropped": [seq], "missing": [2**60]}
    assert (await ask(wire, "drop", seqs=[seq]))["missing"] == [seq]
    assert [letter.headers["Precedent-Stream-Seq"] for letter in await wire.dead_letters(collection)] == [str(kept)]
    assert await wire.stored(seq) is None


async def test_a_rebuild_neither_doubles_nor_revives_dead_letters(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """After the index is lost, each original is listed once, and what was dropped stays away."""
    async with new_indexer() as indexer:
        kept = await refused_event(own_wire, "incidents")
        dropped = await refused_event(own_wire, "incidents")
        await ask(own_wire, "drop", seqs=[dropped])
    shutil.rmtree(indexer.chroma_path)
    async with indexer:
        await own_wire.covered(dropped)
        assert [letter["seq"] for letter in (await ask(own_wire, "list"))["dead_letters"]] == [kept]


async def test_wrong_requests_about_dead_letters_name_the_field(wire: Wire) -> None:
    """As everywhere: 400 with the path of what is wrong."""
    wrong: list[tuple[str, dict[str, object], str]] = [
        ("list", {"limit": 0}, "limit"),
        ("list", {"cursor": "none of ours"}, "cursor"),
        ("get", {"seqs": []}, "seqs"),
        ("get", {"seqs": ["7"]}, "seqs.0"),
        ("replay", {"seqs": [1], "force": "yes"}, "force"),
        ("drop", {}, "seqs"),
    ]
    for verb, body, field in wrong:
        refusal = await wire.refused(f"security.deadletters.v1.{verb}", body)
        assert (refusal.code, refusal.fields) == (400, [field]), verb
