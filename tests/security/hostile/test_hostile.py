"""Every hostile case comes to its verdict, and the healthy event behind it is found.

The tests at the end look back on the whole run: nothing is lost, nothing is in the log that nobody put there, the log
lines say neither secrets nor payloads, and a rebuild of the index from that log comes to the same.
"""

import base64
import json
import shutil
from typing import Any

import pytest

from harness.wire import Wire
from security.hostile.arena import PASSWORD, Arena
from security.hostile.corpus import COLLECTION, Case, load
from security.hostile.raw import Answer, RawNats, ServerRefusedError

CASES = load()
LONGEST_LINE = 1_000
ERROR_CHARS = 5_000
"""Of a whole error reply: twenty problems are named at most, each with a few words."""


def test_there_are_enough_cases() -> None:
    """At least two hundred, with at least ten of each kind of verdict that decides about an event."""
    assert len(CASES) >= 200
    expected = [case.expect for case in CASES]
    assert all(expected.count(one) >= 10 for one in ("indexed", "dead malformed", "dead invalid", "400", "answered"))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.label) for case in CASES])
async def test_hostile_case(arena: Arena, case: Case) -> None:
    """The case comes to its verdict, the indexer is the same process as before, and the event behind it is found."""
    books = arena.books
    async with arena.wire() as wire, arena.raw() as raw:
        await VERDICTS[case.expect.partition(" ")[0]](arena, wire, raw, case)
        await arena.healthy(wire, case.label)
    assert arena.indexer.returncode is None, arena.indexer.log_tail()
    books.verdicts[case.expect] += 1
    books.payloads[case.label] = case.payload


# -- verdicts -------------------------------------------------------------------------------------------------


async def is_indexed(arena: Arena, wire: Wire, raw: RawNats, case: Case) -> None:
    """In the index, under the id that it gave or the one that the log gave, and shown as it was sent."""
    seq = await published(arena, raw, case)
    await wire.covered(seq)
    entries = (await wire.of(COLLECTION, "list", order="newest", limit=1))["events"]
    assert [entry["seq"] for entry in entries] == [seq]
    event = entries[0]["event"]
    assert {name: event[name] for name in case.shown} == case.shown
    arena.books.indexed.add(event["id"])


async def is_dead(arena: Arena, wire: Wire, raw: RawNats, case: Case) -> None:
    """A dead letter of that reason, with the very bytes, a printable detail, and nothing in the index."""
    seq = await published(arena, raw, case)
    await wire.covered(seq)
    reply = await wire.ask("security.deadletters.v1.get", {"seqs": [seq]})
    [letter] = reply["dead_letters"]
    assert letter["reason"] == case.expect.split()[1], letter["detail"]
    assert base64.b64decode(letter["data"]) == case.payload
    for shown in (letter["detail"], letter["subject"]):
        assert shown.isascii()
        assert shown.isprintable()
    assert len(letter["detail"]) <= 256
    arena.books.dead.add(seq)


async def is_taken(arena: Arena, wire: Wire, raw: RawNats, case: Case) -> None:
    """A stream has it."""
    ack = acknowledgement(await raw.request(case.subject, case.payload, headers=case.headers))
    assert "error" not in ack
    if ack["stream"] == "SECURITY_EVENTS":
        arena.books.stored.add(ack["seq"])
        await wire.covered(ack["seq"])


async def is_refused(_: Arena, __: Wire, raw: RawNats, case: Case) -> None:
    """The server said no, cut the connection, or knows nobody who would take it."""
    try:
        answer = await raw.request(case.subject, case.payload, headers=case.headers)
    except ServerRefusedError:
        return
    assert answer is not None
    assert answer.nobody_listens or "error" in acknowledgement(answer)


async def is_answered(_: Arena, __: Wire, raw: RawNats, case: Case) -> None:
    """A reply in JSON that is no error."""
    assert "error" not in await reply_to(raw, case)


async def is_an_error(_: Arena, __: Wire, raw: RawNats, case: Case) -> None:
    """An error of that code, printable and short, whatever was asked."""
    error = (await reply_to(raw, case))["error"]
    assert str(error["code"]) == case.expect, error
    texts = [error["message"], *(text for detail in error["details"] for text in detail.values())]
    assert all(text.isprintable() for text in texts)
    assert "Traceback" not in error["message"]
    assert sum(map(len, texts)) < ERROR_CHARS


async def is_unheard(_: Arena, wire: Wire, raw: RawNats, case: Case) -> None:
    """Nobody answers; where an answer was directed elsewhere, the log is as it was."""
    before = await log_state(wire)
    answer = await raw.request(case.subject, case.payload, headers=case.headers, reply=case.reply)
    assert answer is None or answer.nobody_listens
    # A question behind it, answered: by then the one before it has been taken or dropped.
    await wire.search(COLLECTION, text="x")
    assert await log_state(wire) == before


VERDICTS = {
    "indexed": is_indexed,
    "dead": is_dead,
    "taken": is_taken,
    "refused": is_refused,
    "answered": is_answered,
    "unheard": is_unheard,
    **dict.fromkeys(("400", "404", "409", "413", "504"), is_an_error),
}


async def published(arena: Arena, raw: RawNats, case: Case) -> int:
    """The sequence that a case has in the log."""
    ack = acknowledgement(await raw.request(case.subject, case.payload, headers=case.headers))
    assert "error" not in ack, ack
    assert ack["stream"] == "SECURITY_EVENTS"
    arena.books.stored.add(ack["seq"])
    seq: int = ack["seq"]
    return seq


def acknowledgement(answer: Answer | None) -> dict[str, Any]:
    """What JetStream said."""
    assert answer is not None
    assert not answer.nobody_listens
    found: dict[str, Any] = json.loads(answer.data)
    return found


async def reply_to(raw: RawNats, case: Case) -> dict[str, Any]:
    """The reply to a question; its headers and its body agree on whether it is an error."""
    answer = await raw.request(case.subject, case.payload, headers=case.headers)
    assert answer is not None
    assert not answer.nobody_listens
    body: dict[str, Any] = json.loads(answer.data)
    assert (b"Nats-Service-Error-Code" in answer.headers) == ("error" in body)
    assert answer.headers.decode("ascii").replace("\r\n", "").isprintable()
    return body


async def log_state(wire: Wire) -> list[tuple[int, int]]:
    """First and last sequence of both streams."""
    states = [(await wire.api(f"STREAM.INFO.{name}"))["state"] for name in ("SECURITY_EVENTS", "SECURITY_DEAD_LETTERS")]
    return [(state["first_seq"], state["last_seq"]) for state in states]


# -- looking back on the run ----------------------------------------------------------------------------------


async def all_listed(wire: Wire) -> list[str]:
    """Ids of every event of the collection, oldest first."""
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        reply = await wire.of(COLLECTION, "list", order="oldest", limit=1000, **cursor)
        found += [entry["event"]["id"] for entry in reply["events"]]
        if reply["cursor"] is None:
            return found
        cursor = {"cursor": reply["cursor"]}


async def check_everything(arena: Arena, wire: Wire) -> None:
    """What must be in the index is, and nothing else; the dead letters too; nothing waits or comes again."""
    books = arena.books
    await wire.covered(max(books.stored))
    await wire.all_settled()
    listed = await all_listed(wire)
    assert [event_id for event_id in listed if event_id.startswith("healthy-")] == books.healthy
    assert set(listed) - set(books.healthy) == books.indexed
    for seqs in (sorted(books.dead)[start : start + 20] for start in range(0, len(books.dead), 20)):
        reply = await wire.ask("security.deadletters.v1.list", {"limit": 1})
        assert reply["dead_letters"]
        for seq in seqs:
            assert not (await wire.ask("security.deadletters.v1.get", {"seqs": [seq]}))["missing"], seq


async def test_nothing_is_lost(arena: Arena) -> None:
    """Every healthy event and every hostile one that is legal is in the index, every other one a dead letter."""
    async with arena.wire() as wire:
        await check_everything(arena, wire)


async def test_nothing_is_in_the_log_that_nobody_put_there(arena: Arena) -> None:
    """Beside what publishers sent, the log holds deletions by the indexer alone: no answer was talked into it."""
    async with arena.wire() as wire:
        [(first, last), _] = await log_state(wire)
        for seq in sorted(set(range(first, last + 1)) - arena.books.stored):
            message = await wire.stored(seq)
            assert message is None or message.headers.get("Nats-Msg-Id", "").startswith("deletion:"), message


def test_log_lines_say_no_secret_and_no_payload(arena: Arena) -> None:
    """Each line is one printable JSON object of limited length, without the password, a payload or a traceback."""
    text = arena.log_path.read_text(encoding="utf-8")
    for line in text.splitlines():
        assert isinstance(json.loads(line), dict)
        assert line.isprintable()
        assert len(line) <= LONGEST_LINE
    assert PASSWORD not in text
    assert "Traceback" not in text
    for label, payload in arena.books.payloads.items():
        # A few of its characters may show what was wrong with it; so many at a stretch may not.
        for start in range(0, min(len(payload), 4096), 64):
            piece = payload[start : start + 64]
            if len(piece) == 64 and len(set(piece)) > 8:
                assert piece.decode(errors="replace") not in text, label


async def test_a_rebuild_comes_to_the_same(arena: Arena) -> None:
    """Without its directory, the indexer reads the same log by another way, and everything is as it was."""
    await arena.indexer.terminate()
    shutil.rmtree(arena.indexer.chroma_path)
    arena.indexer.start()
    await arena.indexer.wait_ready()
    async with arena.wire() as wire:
        await check_everything(arena, wire)
        await arena.healthy(wire, "a rebuild")
