"""Pulling without a break: what is asked of the server, and what becomes of its answers."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from fakes.bus import FakeBus, refused
from precedent_indexer.adapters.nats import deliveries as pull_feed
from precedent_indexer.adapters.nats.deliveries import PullFeed
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import ConsumerGone, JetStreamRefused

INBOX = "_INBOX.fake"
NEXT = "$JS.API.CONSUMER.MSG.NEXT.SECURITY_EVENTS.indexer"
STORED_NS = 1_767_225_600_123_456_789
INFO: dict[str, Any] = {
    "delivered": {"stream_seq": 7},
    "num_pending": 3,
    "num_ack_pending": 2,
    "num_redelivered": 1,
    "config": {"metadata": {"precedent_index": "abc", "precedent_instance": "this"}},
}


class Clock:
    """A clock that the test moves."""

    now = 1000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stands for the monotonic clock of the feed."""
    made = Clock()
    monkeypatch.setattr(pull_feed, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def ack_subject(seq: int, deliveries: int = 1, *, domain: bool = False) -> str:
    """Where a delivery is settled, in either of the server's spellings."""
    tail = f"SECURITY_EVENTS.indexer.{deliveries}.{seq}.{seq}.{STORED_NS}.0"
    return f"$JS.ACK.hub.ACCOUNT.{tail}.token" if domain else f"$JS.ACK.{tail}"


def delivered(seq: int, **kwargs: Any) -> Packet:
    """A message from the server."""
    return Packet("security.events.v1.incidents.auth", ack_subject(seq, **kwargs), b"{}", {"X": "y"})


def status(code: str, **headers: str) -> Packet:
    """A word of the server about the pull request."""
    return Packet(INBOX, "", b"", {"Status": code, **headers})


def asked(bus: FakeBus) -> list[int]:
    """Sizes of the pull requests so far."""
    return [json.loads(data)["batch"] for subject, data, reply in bus.published if (subject, reply) == (NEXT, INBOX)]


async def feed_of(bus: FakeBus, window: int = 8) -> PullFeed:
    """A feed that listens."""
    feed = PullFeed(bus, window)
    await feed.start()
    return feed


async def test_the_window_is_kept_open_and_never_exceeded() -> None:
    """What is asked for and what lies here never sum to more than the window; half of it free is asked for anew."""
    bus = FakeBus()
    feed = await feed_of(bus)
    assert await feed.next_batch(4, 0) == []
    assert asked(bus) == [8]
    for seq in range(1, 7):
        await bus.handlers[INBOX](delivered(seq))
    assert [one.message.seq for one in feed.waiting()] == [1, 2, 3, 4, 5, 6]
    assert [one.message.seq for one in await feed.next_batch(3, 0)] == [1, 2, 3]
    assert asked(bus) == [8]
    assert [one.message.seq for one in await feed.next_batch(3, 0)] == [4, 5, 6]
    assert asked(bus) == [8, 6]
    request = json.loads(bus.published[0][1])
    assert request["expires"] > 2 * request["idle_heartbeat"] > 0


@pytest.mark.parametrize("domain", [False, True])
async def test_a_delivery_knows_its_message_and_is_settled_on_its_own_subject(domain: bool) -> None:
    """Sequence, deliveries and time are read from the reply subject; ack, term and progress go there."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await bus.handlers[INBOX](delivered(42, deliveries=3, domain=domain))
    (one,) = await feed.next_batch(4, 0)
    assert (one.message.seq, one.message.deliveries) == (42, 3)
    assert one.message.stored_at == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert (one.message.subject, one.message.headers) == ("security.events.v1.incidents.auth", {"X": ["y"]})
    bus.published.clear()
    await one.in_progress()
    await one.ack()
    await one.term()
    where = ack_subject(42, 3, domain=domain)
    assert bus.published == [(where, b"+WPI", ""), (where, b"+ACK", ""), (where, b"+TERM", "")]


async def test_a_header_called_status_does_not_hide_a_message() -> None:
    """A publisher's own `Status` header makes no status of its message."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await bus.handlers[INBOX](Packet("s", ack_subject(1), b"{}", {"Status": "404"}))
    assert len(await feed.next_batch(4, 0)) == 1


@pytest.mark.parametrize(
    "ended",
    [
        status("408", **{"Nats-Pending-Messages": "8", "Nats-Pending-Bytes": "0"}),
        status("408"),
        status("409", Description="Server Shutdown"),
        status("409", Description="Leadership Change", **{"Nats-Pending-Messages": "8"}),
    ],
)
async def test_a_request_that_ended_is_asked_again(ended: Packet) -> None:
    """When the server ends a pull request, for whatever reason, the room that it had is asked for anew."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await feed.next_batch(4, 0)
    await bus.handlers[INBOX](ended)
    assert await feed.next_batch(4, 0) == []
    assert asked(bus) == [8, 8]


async def test_heartbeats_change_nothing(clock: Clock) -> None:
    """Heartbeats are no messages, and as long as they come nothing is asked twice."""
    bus = FakeBus()
    feed = await feed_of(bus)
    for _ in range(20):
        clock.now += 5
        await bus.handlers[INBOX](status("100", Description="Idle Heartbeat"))
        assert await feed.next_batch(4, 0) == []
    assert asked(bus) == [8]


async def test_silence_is_taken_for_a_lost_request(clock: Clock) -> None:
    """Without a word for two heartbeats and a half, the window is asked for again, and only once for each silence."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await feed.next_batch(4, 0)
    clock.now += 12
    await feed.next_batch(4, 0)
    assert asked(bus) == [8]
    clock.now += 1
    await feed.next_batch(4, 0)
    await feed.next_batch(4, 0)
    assert asked(bus) == [8, 8]


async def test_after_a_reconnect_everything_is_asked_for_again() -> None:
    """The server forgot the request with the connection; what has arrived is still handed out."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await feed.next_batch(4, 0)
    await bus.handlers[INBOX](delivered(1))
    for hook in bus.on_reconnect:
        hook()
    assert [one.message.seq for one in await feed.next_batch(4, 0)] == [1]
    assert asked(bus)[:2] == [8, 7]


@pytest.mark.parametrize("gone", [status("409", Description="Consumer Deleted"), status("503")])
async def test_a_deleted_consumer_is_said_once(gone: Packet) -> None:
    """Whoever waits is told at once; after that the feed asks again."""
    bus = FakeBus()
    bus.answer("CONSUMER.INFO.SECURITY_EVENTS.indexer", refused(10014))
    feed = await feed_of(bus)
    await feed.next_batch(4, 0)
    await bus.handlers[INBOX](gone)
    with pytest.raises(ConsumerGone, match="indexer"):
        await feed.next_batch(4, 60)
    assert await feed.next_batch(4, 0) == []
    assert asked(bus)[-1] == 8


async def test_a_consumer_without_a_leader_is_not_gone() -> None:
    """While a cluster elects one nobody listens for pull requests: an outage, and then the feed asks again."""
    bus = FakeBus()
    bus.answer("CONSUMER.INFO.SECURITY_EVENTS.indexer", refused(10008, 503), INFO)
    feed = await feed_of(bus)
    await feed.next_batch(4, 0)
    await bus.handlers[INBOX](status("503"))
    with pytest.raises(JetStreamRefused):
        await feed.next_batch(4, 60)
    await feed.next_batch(4, 0)
    await bus.handlers[INBOX](status("503"))
    assert await feed.next_batch(4, 60) == []
    await feed.next_batch(4, 0)
    assert asked(bus) == [8, 8, 8]


async def test_stopping_unsubscribes_and_gives_back_what_was_not_handed_out() -> None:
    """What is dropped here is delivered again by the server, at once."""
    bus = FakeBus()
    feed = await feed_of(bus)
    await bus.handlers[INBOX](delivered(1))
    await feed.stop()
    assert bus.published[-1] == (ack_subject(1), b"-NAK", "")
    sent = len(bus.published)
    await feed.stop()
    assert len(bus.published) == sent
    assert bus.handlers == {}
    assert feed.waiting() == []


async def test_state() -> None:
    """The server's numbers under our names; a missing consumer or stream is gone, other errors stay what they are."""
    bus = FakeBus()
    feed = PullFeed(bus, 8)
    verb = "CONSUMER.INFO.SECURITY_EVENTS.indexer"
    bus.answer(verb, INFO, INFO | {"config": {}}, refused(10014), refused(10059), refused(10008, 503))
    state = await feed.state()
    assert (state.delivered_seq, state.pending, state.ack_pending, state.redelivered) == (7, 3, 2, 1)
    assert (state.index_uuid, state.instance) == ("abc", "this")
    state = await feed.state()
    assert (state.index_uuid, state.instance) == (None, None)
    for error in (ConsumerGone, ConsumerGone, JetStreamRefused):
        with pytest.raises(error):
            await feed.state()


async def test_limits_of_the_consumer_on_pull_requests_are_kept() -> None:
    """Words of a 409 name them: the next request is as small, and as short, as the server wants it."""
    bus = FakeBus()
    feed = await feed_of(bus)
    receive = bus.handlers[feed._inbox]
    await receive(status("409", Description="Exceeded MaxRequestBatch of 3"))
    await feed.next_batch(8, 0.01)
    assert asked(bus)[-1] == 3
    await receive(status("409", Description="Exceeded MaxRequestExpires of 10s"))
    feed._forget_pulls()
    await feed.next_batch(8, 0.01)
    request = json.loads(bus.published[-1][1])
    assert (request["expires"], request["idle_heartbeat"]) == (15 * 10**9, 5 * 10**9)
