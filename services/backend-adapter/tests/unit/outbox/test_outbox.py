"""The outbox: what is on disk, what is delivered and in which order, and what a caller is told."""

import asyncio
import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_log import QUICK, FakeLog, Stored, client, eventually

from precedent_backend_adapter import (
    Config,
    DeliveryUnknown,
    Misconfigured,
    NotDelivered,
    NotDeliveredReason,
    NotDeliveredYet,
    NotIndexedYet,
    OutboxConfig,
    OutboxUnavailable,
    Outcome,
    Precedent,
    Receipt,
    SecurityEvent,
    Timeouts,
    Verdict,
)
from precedent_backend_adapter._outbox import deliverer
from precedent_backend_adapter._outbox.file import look
from precedent_backend_adapter._outbox.store import Store, StoreError
from precedent_backend_adapter._transport import Fault, FaultKind


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the outbox is."""
    return tmp_path / "outbox"


@pytest.fixture
def log() -> FakeLog:
    """A log that can be reached."""
    made = FakeLog()
    made.connected.set()
    return made


def event(event_id: str | None = None, **fields: Any) -> SecurityEvent:
    """An event that is right."""
    return SecurityEvent(kind="auth", text=fields.pop("text", "many failed logins"), id=event_id, **fields)


def refusing(kind: FaultKind, *ids: str) -> Any:
    """Refuses these, or everything."""

    def decide(message: Stored) -> Fault | None:
        return Fault(kind, f"said {kind.name}") if not ids or message.body.get("id") in ids else None

    return decide


async def test_a_publish_returns_without_a_connection_and_is_delivered_later(path: Path, log: FakeLog) -> None:
    """On disk is enough to return; with the connection it goes out in order, and the receipt gets its sequence."""
    log.connected.clear()
    async with client(log, path) as precedent:
        receipts = [await precedent.publish(event(f"e-{n}")) for n in range(20)]
        assert log.attempts == []
        assert not any(one.is_delivered for one in receipts)
        with pytest.raises(NotDeliveredYet, match="'e-0' of 'incidents'"):
            _ = receipts[0].seq
        log.connected.set()
        delivered = [await one.delivered() for one in receipts]
        assert [(one.id, one.seq, one.duplicate) for one in delivered] == [(f"e-{n}", n + 1, False) for n in range(20)]
        assert [(one.is_delivered, one.seq) for one in receipts] == [(True, n + 1) for n in range(20)]
    assert log.ids == [f"e-{n}" for n in range(20)]


async def test_what_waits_outlives_its_process(path: Path, log: FakeLog) -> None:
    """The next client delivers it: the same bytes and headers, with the id, time and message id drawn once."""
    log.connected.clear()
    async with client(log, path) as precedent:
        receipt = await precedent.publish(event(), headers={"traceparent": "00-ab"})
        waiting = asyncio.create_task(receipt.delivered())
    with pytest.raises(NotDeliveredYet, match="the next one"):
        await waiting
    log.connected.set()
    async with client(log, path) as precedent:
        await precedent.flush()
    [stored] = log.stored
    assert stored.body["id"] == receipt.id
    assert stored.body["occurred_at"]
    assert stored.headers["Nats-Msg-Id"].startswith(f"incidents:{receipt.id}:")
    assert stored.headers["traceparent"] == "00-ab"
    assert list(stored.headers)[-2:] == ["Nats-Msg-Id", "Nats-Expected-Stream"]


async def test_a_lost_acknowledgement_is_no_second_event(path: Path, log: FakeLog) -> None:
    """What was stored and never acknowledged goes out again with its message id, and is a duplicate then."""
    log.lose_acks = 3
    async with client(log, path) as precedent:
        report = await (await precedent.publish_many([event(f"e-{n}") for n in range(5)])).delivered()
    assert log.ids == [f"e-{n}" for n in range(5)]
    assert [report.receipts[n].seq for n in range(5)] == [1, 2, 3, 4, 5]
    assert report.last_seq == 5
    assert report.receipts[0].duplicate


@pytest.mark.parametrize(
    "kind", [FaultKind.LOG_FULL, FaultKind.BUSY, FaultKind.NO_RESPONDERS, FaultKind.NO_ANSWER, FaultKind.UNEXPECTED]
)
async def test_what_stands_against_all_holds_up_all(path: Path, log: FakeLog, kind: FaultKind) -> None:
    """A full or absent log is tried again until it takes them: nothing is dropped, overtaken or set aside."""
    log.refusing = refusing(kind)
    async with client(log, path) as precedent:
        await precedent.publish_many([event(f"e-{n}") for n in range(10)])
        await eventually(lambda: len(log.attempts) > 15)
        status = await precedent.outbox_status()
        assert status is not None
        assert (status.waiting, status.set_aside, status.fault) == (10, 0, f"said {kind.name}")
        assert status.oldest is not None
        assert status.size > 1000
        log.refusing = lambda _: None
        await precedent.flush()
        status = await precedent.outbox_status()
        assert status is not None
        assert (status.waiting, status.size, status.oldest) == (0, 0, None)
        await eventually(lambda: precedent._outbox is not None and precedent._outbox._deliverer.fault is None)
    assert log.ids == [f"e-{n}" for n in range(10)]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (FaultKind.TOO_LARGE, NotDeliveredReason.TOO_LARGE),
        (FaultKind.NOT_PERMITTED, NotDeliveredReason.NOT_PERMITTED),
        (FaultKind.REJECTED, NotDeliveredReason.REJECTED),
    ],
)
async def test_what_stands_against_one_holds_up_nobody(
    path: Path, log: FakeLog, kind: FaultKind, reason: NotDeliveredReason
) -> None:
    """A refused message is set aside with the reason, seen by status and caller; the next client delivers it."""
    log.refusing = refusing(kind, "b")
    async with client(log, path) as precedent:
        receipts = [await precedent.publish(event(one)) for one in "abc"]
        await precedent.flush()
        assert log.ids == ["a", "c"]
        with pytest.raises(NotDelivered, match=f"'b' of 'incidents'.*said {kind.name}") as caught:
            await receipts[1].delivered()
        assert caught.value.reason is reason
        status = await precedent.outbox_status()
        assert status is not None
        assert (status.waiting, status.set_aside) == (0, 1)
        _, [aside] = look(path)
        assert (aside.id, aside.collection, aside.refusal) == ("b", "incidents", f"said {kind.name}")
    log.refusing = lambda _: None
    async with client(log, path) as precedent:
        await precedent.flush()
    assert log.ids == ["a", "c", "b"]
    assert look(path)[0].set_aside == 0


async def test_what_was_set_aside_is_tried_again_by_itself(
    path: Path, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Limits and permissions are corrected by people: from time to time each goes out once more, at its old place."""
    monkeypatch.setattr(deliverer, "_AGAIN_S", 0.01)
    log.refusing = refusing(FaultKind.REJECTED)
    async with client(log, path) as precedent:
        for one in "ab":
            await precedent.publish(event(one))
        await eventually(lambda: len(log.attempts) > 6)
        log.refusing = lambda _: None
        await eventually(lambda: len(log.stored) == 2)
    assert log.ids == ["a", "b"]


async def test_republishing_what_was_set_aside_tries_it_again(path: Path, log: FakeLog) -> None:
    """The same message once more is the same message: it waits again, and is delivered once."""
    log.refusing = refusing(FaultKind.NOT_PERMITTED)
    async with client(log, path) as precedent:
        with pytest.raises(NotDelivered) as caught:
            await (await precedent.publish(event("a"))).delivered()
        log.refusing = lambda _: None
        receipt = await precedent.republish(caught.value.pending)
        assert (await receipt.delivered()).seq == 1
    assert log.ids == ["a"]


async def test_what_was_set_aside_never_undoes_a_later_revision(path: Path, log: FakeLog) -> None:
    """Once a later revision of it is in the log, a refused event is never sent; a refused outcome is none of it."""
    log.refusing = refusing(FaultKind.NOT_PERMITTED)
    async with client(log, path) as precedent:
        await precedent.publish(event("a", severity=1))
        await precedent.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN))
        await precedent.flush()
        log.refusing = lambda _: None
        await precedent.publish(event("a", severity=5))
        await precedent.flush()
    async with client(log, path) as precedent:
        await precedent.flush()
    assert [one.body.get("severity", one.body.get("verdict")) for one in log.stored] == [5, "benign"]
    [aside] = look(path)[1]
    assert aside.superseded


async def test_revisions_of_one_event_never_fly_together(path: Path, log: FakeLog) -> None:
    """Whatever fails in between, they are stored in the order in which they were published."""
    log.connected.clear()
    failing = iter([False, True, False, True, True] + [False] * 100)
    log.refusing = lambda _: Fault(FaultKind.BUSY, "not now") if next(failing) else None
    async with client(log, path) as precedent:
        for number in range(8):
            await precedent.publish(event("a", attributes={"n": number}))
            await precedent.publish(event(f"b-{number}"))
        log.connected.set()
        await precedent.flush()
    assert [one.body["attributes"]["n"] for one in log.stored if one.body["id"] == "a"] == list(range(8))
    assert sorted(one for one in log.ids if one != "a") == [f"b-{n}" for n in range(8)]


async def test_outcomes_go_through_the_outbox_as_well(path: Path, log: FakeLog) -> None:
    """An outcome waits like an event, and goes to its own subject."""
    log.connected.clear()
    async with client(log, path) as precedent:
        receipt = await precedent.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN), collection="rules")
        assert not receipt.is_delivered
        log.connected.set()
        assert await receipt.delivered() == Receipt("a", "rules", 1)
    assert log.stored[0].subject == "security.outcomes.v1.rules"


@pytest.mark.parametrize("bounds", [{"max_events": 3}, {"max_bytes": 1200}])
async def test_a_full_outbox_says_so_and_loses_nothing(path: Path, log: FakeLog, bounds: dict[str, int]) -> None:
    """Beyond a bound a publish is refused with what to do; when there is room again, it goes in."""
    log.connected.clear()
    async with client(log, path, **bounds) as precedent:
        for number in range(3):
            await precedent.publish(event(f"e-{number}"))
        with pytest.raises(NotDelivered, match=r"outbox .* is full: it holds .* raise max_events") as caught:
            await precedent.publish(event("e-3", text="x" * 500))
        assert caught.value.reason is NotDeliveredReason.OUTBOX_FULL
        log.connected.set()
        await precedent.flush()
        await (await precedent.republish(caught.value.pending)).delivered()
    assert log.ids == ["e-0", "e-1", "e-2", "e-3"]


async def test_bounds_hold_over_a_restart(path: Path, log: FakeLog) -> None:
    """What an earlier process left counts."""
    log.connected.clear()
    async with client(log, path) as precedent:
        await precedent.publish(event("a"))
    async with client(log, path, max_events=1) as precedent:
        with pytest.raises(NotDelivered):
            await precedent.publish(event("b"))


async def test_what_would_be_refused_anyway_is_refused_at_once(path: Path, log: FakeLog) -> None:
    """A message beyond what the server takes never gets into the outbox."""
    log.max_payload = 100
    async with client(log, path) as precedent:
        with pytest.raises(NotDelivered) as caught:
            await precedent.publish(event("a", text="x" * 200))
        assert caught.value.reason is NotDeliveredReason.TOO_LARGE
    assert look(path)[0].size == 0


async def test_a_second_client_is_told_whose_it_is(path: Path, log: FakeLog) -> None:
    """One outbox has one client: another one fails at once with the path and the remedy, and gets it afterwards."""
    async with client(log, path):
        with pytest.raises(OutboxUnavailable, match=rf"{path} is in use .*of its own"):
            async with client(log, path):
                pass
    async with client(log, path):
        pass


async def test_a_look_needs_no_lock(path: Path, log: FakeLog) -> None:
    """How much waits can be seen while a client uses the outbox."""
    log.connected.clear()
    async with client(log, path) as precedent:
        await precedent.publish(event("a"))
        assert (look(path)[0].waiting, look(path)[1]) == (1, [])


@pytest.mark.parametrize("content", [b"no database at all" * 100, None])
def test_a_file_that_is_no_outbox_is_left_alone(path: Path, content: bytes | None) -> None:
    """Neither a text nor another program's database is overwritten; the error names the file."""
    if content is None:
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE other (one TEXT)")
        db.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(OutboxUnavailable, match=str(path)):
            Store(OutboxConfig(path=path))
    with pytest.raises(OutboxUnavailable, match=str(path)):
        look(path)
    assert path.read_bytes() == before


async def test_a_missing_directory_is_named(tmp_path: Path, log: FakeLog) -> None:
    """The error says what to do; nothing is created."""
    with pytest.raises(OutboxUnavailable, match="directory that exists"):
        async with client(log, tmp_path / "nowhere" / "outbox"):
            pass
    with pytest.raises(OutboxUnavailable, match="no file"):
        look(tmp_path / "nothing")


async def test_nobody_else_may_read_it(path: Path, log: FakeLog) -> None:
    """Events hold personal data: the file, and what SQLite puts beside it, is the owner's alone."""
    log.connected.clear()
    async with client(log, path) as precedent:
        await precedent.publish(event("a"))
        files = [one for one in path.parent.iterdir() if not one.name.endswith(".lock")]
        assert len(files) == 3
        assert {stat.S_IMODE(one.stat().st_mode) for one in files} == {0o600}


async def test_nothing_of_a_delivered_event_stays_on_disk(path: Path, log: FakeLog) -> None:
    """What was delivered is overwritten while the client goes on, so that an erased event is not found in an outbox."""

    def is_there() -> bool:
        return b"unmistakable" in b"".join(one.read_bytes() for one in path.parent.iterdir())

    log.connected.clear()
    async with client(log, path) as precedent:
        await precedent.publish(event("a", text="unmistakable words"))
        assert is_there()
        log.connected.set()
        await precedent.flush()
        await eventually(lambda: not is_there())
    assert not is_there()


async def test_a_full_disk_refuses_and_recovers(path: Path, log: FakeLog) -> None:
    """Where the file cannot grow, a publish is refused as by a full outbox; what was taken is safe, and room helps."""
    log.connected.clear()
    async with client(log, path) as precedent:
        await precedent.publish(event("a"))
        await limited(precedent, 12)
        report = await precedent.publish_many([event(f"e-{n}", text="x" * 2000) for n in range(30)], window=1)
        refused = [one for one in report.failures.values() if isinstance(one, NotDelivered)]
        assert len(refused) == len(report.failures) > 0
        assert len(report.receipts) > 0
        assert all(one.reason is NotDeliveredReason.OUTBOX_FULL and "make room" in str(one) for one in refused)
        await limited(precedent, 1_000_000)
        for one in refused:
            await precedent.republish(one.pending)
        log.connected.set()
        await precedent.flush()
    taken = [receipt.id for receipt in report.receipts.values()]
    assert log.ids == ["a", *taken, *(one.pending.id for one in refused)]


async def limited(precedent: Precedent, pages: int) -> None:
    """Let the file have so many pages."""
    assert precedent._outbox is not None
    await precedent._outbox._store.do(lambda store: store._db.execute(f"PRAGMA max_page_count = {pages}").fetchone())


async def test_a_flush_that_failed_leaves_the_fate_open(
    path: Path, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What may have been written is said to be unknown; handed in once more, it is there once."""
    log.connected.clear()

    def failing(*_: object) -> None:
        raise StoreError("the outbox could not be written: disk I/O error", certain=False)

    async with client(log, path) as precedent:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add", failing)
            with pytest.raises(DeliveryUnknown) as caught:
                await precedent.publish(event("a"))
        await precedent.republish(caught.value.pending)
        await precedent.republish(caught.value.pending)
        log.connected.set()
        await precedent.flush()
    assert log.ids == ["a"]


async def test_what_cannot_be_removed_is_not_sent_again(
    path: Path, log: FakeLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk does not let go of what was delivered, nothing is sent twice, and it recovers by itself."""
    tried = threading.Event()
    working = threading.Event()
    settle = Store.settle

    def failing(store: Store, *arguments: Any) -> None:
        tried.set()
        if not working.is_set():
            raise StoreError("the outbox could not be updated", full=True)
        settle(store, *arguments)

    monkeypatch.setattr(Store, "settle", failing)
    async with client(log, path) as precedent:
        receipt = await precedent.publish(event("a"))
        await eventually(tried.is_set)
        status = await precedent.outbox_status()
        assert status is not None
        assert status.fault == "the outbox could not be updated"
        working.set()
        await receipt.delivered()
    assert len(log.attempts) == 1


async def test_a_disk_that_hangs_holds_up_no_one_else(path: Path, log: FakeLog) -> None:
    """The event loop goes on, and the publish ends at its deadline with an unknown fate."""
    config = Config(timeouts=Timeouts(publish=0.1, close=0.1), backoff=QUICK.backoff)
    hangs, hanging = threading.Event(), threading.Event()

    def hang(_: Store) -> None:
        hangs.set()
        hanging.wait()

    async with client(log, path, config) as precedent:
        assert precedent._outbox is not None
        stuck = asyncio.create_task(precedent._outbox._store.do(hang))
        await eventually(hangs.is_set)
        with pytest.raises(DeliveryUnknown, match="does not answer"):
            await precedent.publish(event("a"))
        hanging.set()
        await stuck
        await precedent.flush()
    assert log.ids == ["a"]


async def test_a_disk_that_hangs_for_ever_does_not_keep_anybody(path: Path, log: FakeLog) -> None:
    """Leaving is bounded, whatever the disk does."""
    hanging = threading.Event()
    config = Config(timeouts=Timeouts(close=0.1), backoff=QUICK.backoff)
    try:
        async with client(log, path, config) as precedent:
            assert precedent._outbox is not None
            stuck = asyncio.create_task(precedent._outbox._store.do(lambda _: hanging.wait()))
            await asyncio.sleep(0)
        assert not stuck.done()
    finally:
        hanging.set()
    await stuck


async def test_a_search_after_a_receipt_waits_for_the_outbox_too(path: Path, log: FakeLog) -> None:
    """Reading one's own write: within `wait` it is delivered and then indexed, or it is said that it was not."""
    log.connected.clear()
    async with client(log, path) as precedent:
        receipt = await precedent.publish(event("a"))
        with pytest.raises(NotDeliveredYet, match="within 10 ms") as caught:
            await precedent.search("x", after=receipt, wait=0.01)
        assert isinstance(caught.value, NotIndexedYet)
        assert log.asked == []


async def test_leaving_delivers_what_can_be_delivered(path: Path, log: FakeLog) -> None:
    """A short program that publishes and ends leaves nothing behind where the log can be reached."""
    async with client(log, path) as precedent:
        for number in range(50):
            await precedent.publish(event(f"e-{number}"))
    assert log.ids == [f"e-{n}" for n in range(50)]
    with pytest.raises(NotDelivered, match="closed"):
        await precedent.publish(event("late"))


async def test_a_cancelled_publish_is_delivered_or_not_but_never_twice(path: Path, log: FakeLog) -> None:
    """Nobody waits for it any more, and those behind it are taken all the same."""
    async with client(log, path) as precedent:
        publishing = asyncio.create_task(precedent.publish(event("a")))
        await asyncio.sleep(0)
        publishing.cancel()
        await (await precedent.publish(event("b"))).delivered()
    assert log.ids in (["a", "b"], ["b"])


@pytest.mark.parametrize("wrong", [{"path": ""}, {"path": "x", "max_events": 0}, {"path": "x", "max_bytes": True}])
def test_bounds_that_are_none_are_named(wrong: dict[str, Any]) -> None:
    """A configuration that cannot work is refused at construction."""
    with pytest.raises(Misconfigured, match="outbox"):
        Config(outbox=OutboxConfig(**wrong))


async def test_without_an_outbox_nothing_waits() -> None:
    """The same calls are there for every client: a receipt is delivered, a flush returns, and there is no status."""
    log = FakeLog()
    log.connected.set()
    precedent = Precedent(log, QUICK)
    receipt = await precedent.publish(event("a"))
    assert receipt.is_delivered
    assert await receipt.delivered() is receipt
    await precedent.flush()
    assert await precedent.outbox_status() is None
