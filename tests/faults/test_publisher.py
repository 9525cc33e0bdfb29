"""A publisher without an outbox: what becomes of a publish call when the link or the server breaks under it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from faults.log import assert_once_and_in_order, ids_in_log, last_seq, make_log
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.waits import eventually
from harness.wire import Wire
from precedent_backend_adapter import (
    Backoff,
    Config,
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    Precedent,
    SecurityEvent,
    Timeouts,
)

PATIENT = Config(timeouts=Timeouts(publish=60, publish_attempt=1), backoff=Backoff(first=0.05, cap=0.2))
HASTY = Config(timeouts=Timeouts(publish=1.5, publish_attempt=0.5), backoff=Backoff(first=0.05, cap=0.2))


def event(number: int, prefix: str = "e") -> SecurityEvent:
    """One of many."""
    return SecurityEvent(kind="fault", text=f"failed login number {number}", id=f"{prefix}-{number}")


@pytest.fixture
async def log(own_wire: Wire) -> Wire:
    """The log, empty."""
    await make_log(own_wire)
    return own_wire


@pytest.fixture
async def relay(server: NatsServer) -> AsyncIterator[TcpRelay]:
    """A link to the server that can break."""
    async with TcpRelay(server.port) as running:
        yield running


async def test_a_lost_acknowledgement_is_asked_for_again(log: Wire, relay: TcpRelay) -> None:
    """Stored by the first attempt and never told so, a publish ends with that sequence, as a duplicate; stored once."""
    async with Precedent.connect(relay.url, config=PATIENT) as precedent:
        relay.withhold_answers()
        publishing = asyncio.create_task(precedent.publish(event(0)))

        async def stored() -> None:
            assert await last_seq(log) == 1

        await eventually(stored, timeout=30)
        await relay.cut()
        relay.resume()
        await relay.restore()
        receipt = await publishing
    assert (receipt.seq, receipt.duplicate) == (1, True)
    assert await ids_in_log(log) == ["e-0"]


async def test_a_lost_acknowledgement_is_unknown_and_republished_once(log: Wire, relay: TcpRelay) -> None:
    """Stored, and silence until the deadline: the fate is unknown, and republishing what is pending adds nothing."""
    async with Precedent.connect(relay.url, config=HASTY) as precedent:
        relay.withhold_answers()
        with pytest.raises(DeliveryUnknown) as caught:
            await precedent.publish(event(0))
        relay.resume()
        receipt = await precedent.republish(caught.value.pending)
    assert (receipt.seq, receipt.duplicate) == (1, True)
    assert await ids_in_log(log) == ["e-0"]


async def test_a_link_that_is_down_from_the_start_is_not_delivered(log: Wire, relay: TcpRelay) -> None:
    """Where no byte can have left until the deadline, the log certainly does not have it, and nothing comes later."""
    async with Precedent.connect(relay.url, config=HASTY) as precedent:
        await relay.cut()
        # This one may still have been handed to the connection that was there.
        with pytest.raises((DeliveryUnknown, NotDelivered)):
            await precedent.publish(event(0, "first"))
        for number in range(3):
            with pytest.raises(NotDelivered) as caught:
                await precedent.publish(event(number))
            assert caught.value.reason is NotDeliveredReason.UNREACHABLE
        await relay.restore()
        # Whatever the library may have kept back would go out before this.
        await precedent.republish(caught.value.pending)
    assert set(await ids_in_log(log)) - {"first-0"} == {"e-2"}


async def test_no_stream_is_not_delivered(server: NatsServer, own_wire: Wire) -> None:
    """A server without the log refuses every attempt; nothing is in doubt, and with the log it goes in."""
    async with Precedent.connect(server.url, config=HASTY) as precedent:
        with pytest.raises(NotDelivered) as caught:
            await precedent.publish(event(0))
        assert caught.value.reason is NotDeliveredReason.UNREACHABLE
        await make_log(own_wire)
        assert (await precedent.republish(caught.value.pending)).seq == 1


async def test_a_hung_server_is_waited_for(log: Wire, server: NatsServer) -> None:
    """A server that freezes and goes on has every publish that began meanwhile, once."""
    async with Precedent.connect(server.url, config=PATIENT) as precedent:
        server.pause()
        try:
            publishing = asyncio.create_task(precedent.publish_many([event(n) for n in range(20)]))
            done, _ = await asyncio.wait({publishing}, timeout=2)
            assert not done
        finally:
            server.resume()
        report = await publishing
    assert report.failures == {}
    assert_once_and_in_order(await ids_in_log(log), [])
    assert sorted(await ids_in_log(log)) == sorted(f"e-{n}" for n in range(20))


async def test_a_server_killed_under_load_loses_and_doubles_nothing(log: Wire, server: NatsServer) -> None:
    """Killed and started again three times in the middle of many publishes, each call succeeds within its deadline."""
    total = 1500
    async with Precedent.connect(server.url, config=PATIENT) as precedent:
        publishing = asyncio.create_task(precedent.publish_many((event(n) for n in range(total)), window=64))
        for part in (1, 2, 3):

            async def advanced(least: int = part * total // 5) -> None:
                assert await last_seq(log) >= least

            await eventually(advanced, timeout=60, interval=0.005)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        report = await publishing
    assert report.failures == {}
    found = await ids_in_log(log)
    assert_once_and_in_order(found, [])
    assert sorted(found) == sorted(f"e-{n}" for n in range(total))


async def test_a_link_cut_under_load_loses_and_doubles_nothing(log: Wire, relay: TcpRelay) -> None:
    """Cut with answers on their way, again and again, each call succeeds and each event is stored once."""
    total = 1000
    async with Precedent.connect(relay.url, config=PATIENT) as precedent:
        publishing = asyncio.create_task(precedent.publish_many((event(n) for n in range(total)), window=64))
        for part in (1, 2, 3, 4):

            async def advanced(least: int = part * total // 8) -> None:
                assert await last_seq(log) >= least

            await eventually(advanced, timeout=60, interval=0.005)
            relay.withhold_answers()
            await relay.cut()
            relay.resume()
            await relay.restore()
        report = await publishing
    assert report.failures == {}
    found = await ids_in_log(log)
    assert_once_and_in_order(found, [])
    assert len(found) == total
