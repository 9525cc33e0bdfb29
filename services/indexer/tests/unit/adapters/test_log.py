"""The log as the JetStream API gives it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.bus import FakeBus, refused
from precedent_indexer.adapters.nats import log as jetstream_log
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.domain.messages import LogState, Packet
from precedent_indexer.errors import BusUnavailable, Fault, JetStreamRefused
from precedent_schemas.events import Deletion

GET = "$JS.API.DIRECT.GET.SECURITY_EVENTS"
ERASE = "STREAM.MSG.DELETE.SECURITY_EVENTS"
ASK_LEADER = "STREAM.MSG.GET.SECURITY_EVENTS"


def stored(seq: int, time: str = "2026-01-31T12:00:00.123456789Z", **headers: str) -> Packet:
    """A message as a direct get gives it."""
    server = {
        "Nats-Stream": "SECURITY_EVENTS",
        "Nats-Subject": "security.events.v1.incidents.auth",
        "Nats-Sequence": str(seq),
        "Nats-Time-Stamp": time,
    }
    return Packet("_INBOX.x", "", b'{"text": "x"}', headers | server)


NOTHING = Packet("_INBOX.x", "", b"", {"Status": "404", "Description": "Message Not Found"})


async def test_state() -> None:
    """Extent and creation of the log come from the server's own words."""
    bus = FakeBus()
    state = {"first_seq": 3, "last_seq": 9, "messages": 5, "bytes": 77}
    bus.answer("STREAM.INFO.SECURITY_EVENTS", {"created": "2026-01-01T00:00:00.1Z", "state": state})
    assert await JetStreamLog(bus).state() == LogState("2026-01-01T00:00:00.1Z", 3, 9, 5, 77)


async def test_reading_skips_what_is_gone_and_ends_where_it_is_told() -> None:
    """Each get asks for the first message behind the one before; one beyond the end is not given."""
    bus = FakeBus()
    bus.answer(GET, stored(2), stored(5), stored(8))
    assert [one.seq async for one in JetStreamLog(bus).read(1, 7)] == [2, 5]
    asked = [body for verb, body in bus.asked if verb == GET]
    assert [body.split(b",")[0] for body in asked] == [b'{"seq": 1', b'{"seq": 3', b'{"seq": 6']
    bus.answer(GET, stored(2), NOTHING)
    bus.answer(ASK_LEADER, refused(10037))
    assert [one.seq async for one in JetStreamLog(bus).read(1, 7)] == [2]
    bus.asked.clear()
    assert [one async for one in JetStreamLog(bus).read(8, 7)] == []
    assert bus.asked == []


END_OF_BATCH = Packet("_INBOX.x", "", b"", {"Status": "204", "Description": "EOB", "Nats-Num-Pending": "7"})


def of_batch(seq: int) -> Packet:
    """A message as one of several that a server gives at once."""
    return stored(seq, **{"Nats-Num-Pending": "7", "Nats-Last-Sequence": "0"})


async def test_reading_takes_many_at_once() -> None:
    """A request asks for as many as there can be, and the next one goes on behind what came; not one is asked twice."""
    bus = FakeBus()
    bus.answer(GET, [of_batch(2), of_batch(5), END_OF_BATCH], [of_batch(8), of_batch(300), END_OF_BATCH])
    read = [one async for one in JetStreamLog(bus).read(1, 300)]
    assert [one.seq for one in read] == [2, 5, 8, 300]
    assert all(one.headers == {} for one in read)
    asked = [json.loads(body) for verb, body in bus.asked if verb == GET]
    assert [(one["seq"], one["batch"]) for one in asked] == [(1, 256), (6, 256)]


async def test_reading_ends_at_the_end_of_the_log() -> None:
    """Where nothing is left, reading ends, however many were asked for."""
    bus = FakeBus()
    bus.answer(GET, [of_batch(2), END_OF_BATCH], NOTHING)
    bus.answer(ASK_LEADER, refused(10037))
    assert [one.seq async for one in JetStreamLog(bus).read(1, 300)] == [2]


async def test_a_replica_that_lags_behind_does_not_end_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a replica has nothing and the leader has, it is asked until it has caught up: nothing is passed over."""
    monkeypatch.setattr(jetstream_log, "_LAG_PAUSE_S", 0)
    bus = FakeBus()
    there: dict[str, Any] = {"message": {"seq": 3}}
    bus.answer(GET, [of_batch(2), END_OF_BATCH], NOTHING, NOTHING, [of_batch(3), END_OF_BATCH], NOTHING)
    bus.answer(ASK_LEADER, there, there, refused(10037))
    assert [one.seq async for one in JetStreamLog(bus).read(1, 7)] == [2, 3]
    assert [body["seq"] for verb, body in bus.asked if verb == ASK_LEADER] == [3, 3, 4]


async def test_no_deletion_is_overlooked_at_a_replica_that_lags_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is deleted is asked of the leader too, on its own subject: else something deleted could come back."""
    monkeypatch.setattr(jetstream_log, "_LAG_PAUSE_S", 0)
    bus = FakeBus()
    bus.answer(GET, NOTHING, stored(9), NOTHING)
    bus.answer(ASK_LEADER, {"message": {"seq": 9}}, refused(10037))
    assert [one.seq async for one in JetStreamLog(bus).deletions("rules", 4)] == [9]
    assert [body for verb, body in bus.asked if verb == ASK_LEADER] == [
        {"seq": 5, "next_by_subj": "security.deletions.v1.rules"},
        {"seq": 10, "next_by_subj": "security.deletions.v1.rules"},
    ]


@pytest.mark.parametrize("leader", [{"message": {"seq": 1}}, refused(10008, 503), BusUnavailable("no leader")])
async def test_a_replica_that_stays_behind_is_an_outage(leader: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a replica that does not catch up nor a stream without a leader is taken for the end of the log."""
    monkeypatch.setattr(jetstream_log, "_LAG_PAUSE_S", 0)
    bus = FakeBus()
    bus.answer(GET, NOTHING)
    bus.answer(ASK_LEADER, leader)
    with pytest.raises(BusUnavailable):
        _ = [one async for one in JetStreamLog(bus).read(1, 7)]


@pytest.mark.parametrize(
    ("time", "microsecond"),
    [
        ("2026-01-31T12:00:00.123456789Z", 123456),
        ("2026-01-31T12:00:00.1Z", 100000),
        ("2026-01-31T12:00:00Z", 0),
        ("2026-01-31T12:00:00.999999999Z", 999999),
    ],
)
async def test_a_message_is_as_its_publisher_sent_it(time: str, microsecond: int) -> None:
    """The server's own headers are taken off, the time is cut to the microsecond, all else is kept."""
    bus = FakeBus()
    bus.answer(GET, stored(4, time, traceparent="00-1", **{"Nats-Msg-Id": "m", "Status": "404"}))
    (one,) = [one async for one in JetStreamLog(bus).read(4, 4)]
    assert (one.seq, one.subject, one.data) == (4, "security.events.v1.incidents.auth", b'{"text": "x"}')
    assert one.stored_at == datetime(2026, 1, 31, 12, 0, 0, microsecond, tzinfo=UTC)
    assert one.headers == {"traceparent": ["00-1"], "Nats-Msg-Id": ["m"], "Status": ["404"]}
    assert one.deliveries == 1


@pytest.mark.parametrize("answer", [Packet("_INBOX.x", "", b"", {"Status": "503"}), stored(1, "yesterday")])
async def test_an_answer_that_is_none_is_an_outage(answer: Packet) -> None:
    """What the server does not give is waited for, never taken for the end of the log."""
    bus = FakeBus()
    bus.answer(GET, answer)
    with pytest.raises(BusUnavailable):
        _ = [one async for one in JetStreamLog(bus).read(1, 1)]


async def test_erasing_passes_over_what_is_gone() -> None:
    """Each sequence is asked for; what the server no longer has is no error, whichever way it says so."""
    bus = FakeBus()
    bus.answer(ERASE, {"success": True}, refused(10037), refused(10043), {"success": True}, refused(10057, 500))
    bus.answer(GET, stored(99))
    await JetStreamLog(bus).erase([1, 2, 3, 4, 5])
    assert sorted(body["seq"] for verb, body in bus.asked if verb == ERASE) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("failure", [BusUnavailable("away"), refused(10057, 500)])
async def test_an_erasure_that_fails_is_a_fault_that_can_be_waited_out(failure: Exception) -> None:
    """A failure leaves as itself, so that it is tried again; the others were tried all the same."""
    bus = FakeBus()

    def erase(body: Any) -> Any:
        return failure if body["seq"] == 2 else {"success": True}

    bus.answer(ERASE, erase)
    bus.answer(GET, stored(2))
    with pytest.raises(Fault) as raised:
        await JetStreamLog(bus).erase([1, 2, 3])
    assert raised.value is failure
    assert sorted(body["seq"] for verb, body in bus.asked if verb == ERASE) == [1, 2, 3]


async def test_purging_is_bounded_by_the_sequence() -> None:
    """Each subject is purged below the sequence alone."""
    bus = FakeBus()
    bus.answer("STREAM.PURGE.SECURITY_EVENTS", {"success": True, "purged": 3})
    await JetStreamLog(bus).purge(["security.events.v1.c.>", "security.outcomes.v1.c"], 17)
    assert [body for _, body in bus.asked] == [
        {"filter": "security.events.v1.c.>", "seq": 17},
        {"filter": "security.outcomes.v1.c", "seq": 17},
    ]


async def test_deletions_are_published_each_for_itself() -> None:
    """Two deletions of the same ids are two messages: the log's duplicate window drops neither."""
    bus = FakeBus()
    log = JetStreamLog(bus)
    assert [await log.publish_deletion("rules", Deletion(ids=["a"])) for _ in range(2)] == [1, 2]
    await log.publish_deletion("rules", Deletion(all=True))
    assert [(subject, data) for subject, data, _ in bus.stored] == [
        ("security.deletions.v1.rules", b'{"ids":["a"]}'),
        ("security.deletions.v1.rules", b'{"ids":["a"]}'),
        ("security.deletions.v1.rules", b'{"all":true}'),
    ]
    assert len({headers["Nats-Msg-Id"] for _, _, headers in bus.stored}) == 3


async def test_a_full_log_refuses_a_deletion() -> None:
    """The refusal comes through as JetStream's own."""

    class Full(FakeBus):
        async def publish_to_stream(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
            raise refused(10077, 503)

    with pytest.raises(JetStreamRefused):
        await JetStreamLog(Full()).publish_deletion("rules", Deletion(all=True))
