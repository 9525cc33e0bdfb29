"""Publishing many: what is in flight, in which order, and what becomes of each."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from scripted import QUICK, ScriptedTransport, Sent, client

from precedent_backend_adapter import (
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    Precedent,
    PublishProgress,
    Refused,
    SecurityEvent,
)
from precedent_backend_adapter._transport import Ack, Fault, FaultKind

ACK = Ack(7)


def event(event_id: str | None = None, **fields: Any) -> SecurityEvent:
    """An event that is right."""
    return SecurityEvent(kind="auth", text="many failed logins", id=event_id, **fields)


def events(count: int) -> list[SecurityEvent]:
    """So many, with ids e-0, e-1 and so on."""
    return [event(f"e-{n}") for n in range(count)]


def ids(sent: list[Sent]) -> list[str]:
    """Event ids in the order in which they left."""
    return [(one.headers or {})["Nats-Msg-Id"].split(":")[1] for one in sent]


@dataclass
class HeldTransport(ScriptedTransport):
    """Acknowledges nothing until it is told to."""

    steps: list[Any] = field(default_factory=lambda: [ACK])
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Send, and wait."""
        self.sent.append(Sent(subject, payload, dict(headers), seconds))
        self.left.set()
        await self.let_go.wait()
        return Ack(len(self.sent))


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_every_event_has_its_receipt_by_position() -> None:
    """Positions are those of the input, and each event is a message of its own."""
    precedent, wire = client(Ack(1), Ack(2), Ack(3))
    report = await precedent.publish_many(events(3))
    assert {at: (one.id, one.seq) for at, one in report.receipts.items()} == {
        0: ("e-0", 1),
        1: ("e-1", 2),
        2: ("e-2", 3),
    }
    assert report.failures == {}
    assert report.last_seq == 3
    assert len({(one.headers or {})["Nats-Msg-Id"] for one in wire.sent}) == 3


async def test_nothing_to_publish_is_a_report_of_nothing() -> None:
    """An empty input sends nothing."""
    precedent, wire = client(ACK)
    report = await precedent.publish_many([])
    assert (report.receipts, report.failures, report.last_seq, wire.sent) == ({}, {}, None, [])


async def test_acknowledgements_are_not_waited_for_one_by_one() -> None:
    """As many are in flight as the window allows, and no more are taken from the input."""
    wire = HeldTransport()
    taken: list[int] = []

    def endless() -> Iterator[SecurityEvent]:
        for number in range(100):
            taken.append(number)
            yield event(f"e-{number}")

    running = asyncio.create_task(Precedent(wire, QUICK).publish_many(endless(), window=4))
    await settled()
    assert ids(wire.sent) == ["e-0", "e-1", "e-2", "e-3"]
    assert len(taken) == 5, "one more is at hand, for when there is room"
    wire.let_go.set()
    report = await running
    assert len(report.receipts) == 100


async def test_they_leave_in_the_order_given_also_after_an_outage() -> None:
    """What waited for a connection goes out in the order of the input."""
    precedent, wire = client(ACK)
    wire.connected.clear()
    running = asyncio.create_task(precedent.publish_many(events(20)))
    await settled()
    assert wire.sent == []
    wire.connected.set()
    await running
    assert ids(wire.sent) == [f"e-{n}" for n in range(20)]


async def test_one_failure_does_not_stop_the_others() -> None:
    """The failed one carries the exception that publish would have raised, and what republish takes."""
    precedent, wire = client(ACK, Fault(FaultKind.LOG_FULL, "full"), ACK)
    report = await precedent.publish_many(events(3), window=1)
    assert sorted(report.receipts) == [0, 2]
    failure = report.failures[1]
    assert isinstance(failure, NotDelivered)
    assert failure.reason is NotDeliveredReason.LOG_FULL
    assert failure.pending.payload == wire.sent[1].payload


async def test_what_would_be_a_dead_letter_is_a_failure_of_its_own() -> None:
    """An event built around its validation is refused by field, and the others go out."""
    precedent, wire = client(ACK)
    wrong = event("b").model_copy(update={"severity": 9})
    report = await precedent.publish_many([event("a"), wrong, event("c")])
    assert isinstance(report.failures[1], Refused)
    assert ids(wire.sent) == ["a", "c"]


async def test_each_is_retried_as_publish_retries() -> None:
    """A fault that may pass is tried again with the same message; one of unknown fate is reported as such."""
    precedent, wire = client(Fault(FaultKind.NO_ANSWER, "?"), ACK)
    report = await precedent.publish_many([event("a")])
    first, second = wire.sent
    assert (first.payload, first.headers) == (second.payload, second.headers)
    assert sorted(report.receipts) == [0]
    precedent, _ = client(Fault(FaultKind.DEAF, "?"))
    assert isinstance((await precedent.publish_many([event("a")])).failures[0], DeliveryUnknown)


async def test_a_later_revision_never_overtakes_an_earlier_one() -> None:
    """A second event with an id is held back until the first is settled, retries included."""
    precedent, wire = client(Fault(FaultKind.NO_ANSWER, "?"), ACK)
    again = event("a", severity=5)
    await precedent.publish_many([event("a"), event("b"), again, event("c")])
    assert wire.sent[-1].payload != wire.sent[0].payload
    order = ids(wire.sent)
    last_of_first = max(at for at, one in enumerate(wire.sent) if one.payload == wire.sent[0].payload)
    first_of_second = next(at for at, one in enumerate(wire.sent) if b'"severity":5' in one.payload)
    assert last_of_first < first_of_second, order


async def test_equal_ids_of_two_collections_do_not_wait_for_each_other() -> None:
    """An id belongs to its collection."""
    wire = HeldTransport()
    both = [event("a"), event("a", collection="rules")]
    running = asyncio.create_task(Precedent(wire, QUICK).publish_many(both))
    await settled()
    assert len(wire.sent) == 2
    wire.let_go.set()
    await running


async def test_progress_is_told_after_each() -> None:
    """The counts add up at every call, and end with everything settled."""
    told: list[PublishProgress] = []
    precedent, _ = client(ACK, Fault(FaultKind.LOG_FULL, "full"), ACK)
    await precedent.publish_many(events(3), progress=told.append)
    assert len(told) == 3
    assert (told[-1].taken, told[-1].published, told[-1].failed, told[-1].in_flight) == (3, 2, 1, 0)
    assert all(one.in_flight >= 0 for one in told)


async def test_an_input_that_comes_asynchronously_is_taken_as_it_comes() -> None:
    """What has come is sent before the next comes."""
    wire = HeldTransport()
    wire.let_go.set()

    async def slowly() -> AsyncIterator[SecurityEvent]:
        yield event("a")
        await wire.left.wait()
        yield event("b")

    report = await Precedent(wire, QUICK).publish_many(slowly())
    assert [report.receipts[at].id for at in (0, 1)] == ["a", "b"]


async def test_an_error_of_the_input_ends_it() -> None:
    """Whatever the input raises comes out as it is, and nothing stays in flight."""
    wire = HeldTransport()

    def broken() -> Iterator[SecurityEvent]:
        yield event("a")
        raise LookupError("no more")

    before = asyncio.all_tasks()
    with pytest.raises(LookupError, match="no more"):
        await Precedent(wire, QUICK).publish_many(broken())
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("count", [1, 50])
async def test_an_error_of_the_progress_callback_ends_it(count: int) -> None:
    """A callback can stop the run by raising; it is not swallowed, also at the last event."""
    precedent, _ = client(ACK)

    def stop(_: PublishProgress) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        await precedent.publish_many(events(count), window=2, progress=stop)


async def test_an_error_while_the_input_waits_is_not_lost() -> None:
    """What went wrong after the last event was taken still comes out."""
    precedent, _ = client(ACK)
    raised = asyncio.Event()

    def stop(_: PublishProgress) -> None:
        raised.set()
        raise LookupError("enough")

    async def slowly() -> AsyncIterator[SecurityEvent]:
        yield event("a")
        await raised.wait()
        await settled()

    with pytest.raises(LookupError, match="enough"):
        await precedent.publish_many(slowly(), progress=stop)


async def test_a_cancelled_run_leaves_nothing_in_flight() -> None:
    """Cancelling it cancels every publish of it."""
    wire = HeldTransport()
    before = asyncio.all_tasks()
    running = asyncio.create_task(Precedent(wire, QUICK).publish_many(events(10), window=4))
    await settled()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("window", [0, -1, True, 1.5, "8"])
async def test_a_window_that_is_none_is_refused(window: Any) -> None:
    """It is refused by name before anything is taken."""
    precedent, wire = client(ACK)
    with pytest.raises(Refused, match="window"):
        await precedent.publish_many(events(1), window=window)
    assert wire.sent == []
