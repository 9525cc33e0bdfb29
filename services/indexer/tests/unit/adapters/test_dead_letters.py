"""Dead letters as they lie in their stream: what is kept of a refused message, once for each original."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fakes.bus import FakeBus
from fakes.making import message
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.domain.messages import Packet, Refusal
from precedent_schemas.failures import DeadReason

NO = Refusal(DeadReason.INVALID, "severity: too high")
INFO = "STREAM.INFO.SECURITY_DEAD_LETTERS"
GET = "$JS.API.DIRECT.GET.SECURITY_DEAD_LETTERS"
DELETE = "STREAM.MSG.DELETE.SECURITY_DEAD_LETTERS"


CREATED = "2026-01-01T00:00:00.000000001Z"


class DeadBus(FakeBus):
    """A server that keeps what is stored and gives it back."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: set[int] = set()
        self.answer(INFO, self._info)
        self.answer(GET, self._get)
        self.answer(DELETE, self._delete)

    def _info(self, _body: Any) -> dict[str, Any]:
        return {"state": {"last_seq": len(self.stored), "messages": len(self.stored) - len(self.gone)}}

    def _delete(self, body: Any) -> dict[str, Any]:
        self.gone.add(body["seq"])
        return {"success": True}

    def _get(self, body: bytes) -> Packet:
        for seq in range(json.loads(body)["seq"], len(self.stored) + 1):
            if seq not in self.gone:
                subject, data, headers = self.stored[seq - 1]
                server = {
                    "Nats-Subject": subject,
                    "Nats-Sequence": str(seq),
                    "Nats-Time-Stamp": "2026-01-31T12:00:00.123456Z",
                }
                return Packet("_INBOX.x", "", data, headers | server)
        return Packet("_INBOX.x", "", b"", {"Status": "404"})


async def test_the_original_is_kept_as_it_was() -> None:
    """Bytes, subject, headers and count of deliveries come back; no `Nats-` header is copied."""
    letters = JetStreamDeadLetters(DeadBus(), CREATED, None)
    headers = {"traceparent": ["00-1"], "Nats-Msg-Id": ["m"], "nats-expected-stream": ["x"]}
    refused = message(17, b"\xff\x00{", headers=headers, deliveries=3)
    await letters.put(refused, NO)
    await letters.refresh()
    letter = await letters.letter(17)
    assert letter is not None
    assert (letter.seq, letter.reason, letter.detail, letter.deliveries) == (17, NO.reason, NO.detail, 3)
    assert base64.b64decode(letter.data) == b"\xff\x00{"
    assert (letter.subject, letter.headers) == (refused.subject, {"traceparent": ["00-1"]})
    assert letters.refusals() == {17: NO}


async def test_subject_and_message_id() -> None:
    """The subject names collection and reason; the id makes a repeat within the duplicate window one message."""
    bus = DeadBus()
    await JetStreamDeadLetters(bus, CREATED, None).put(message(17, b"{"), NO)
    await JetStreamDeadLetters(bus, CREATED, None).put(message(18, b"{", subject="security.events.v1.X\u202e.auth"), NO)
    assert [subject for subject, _, _ in bus.stored] == [
        "security.dead.v1.incidents.invalid",
        "security.dead.v1._.invalid",
    ]
    assert [headers["Nats-Msg-Id"] for _, _, headers in bus.stored] == ["dead:17", "dead:18"]
    assert bus.stored[1][2]["Precedent-Subject"] == "security.events.v1.X?.auth"


async def test_a_message_refused_again_is_one_dead_letter() -> None:
    """Also long after the duplicate window, and for a process that was started since."""
    bus = DeadBus()
    for _ in range(2):
        letters = JetStreamDeadLetters(bus, CREATED, None)
        await letters.put(message(17, b"{"), NO)
        await letters.put(message(17, b"{"), NO)
    assert len(bus.stored) == await letters.count() == 1


async def test_what_is_removed_is_forgotten() -> None:
    """It is erased from the stream, listed no more, and found no more; the others stay, newest first."""
    bus = DeadBus()
    letters = JetStreamDeadLetters(bus, CREATED, None)
    for seq in (17, 18, 19):
        await letters.put(message(seq, b"{"), NO)
    await letters.refresh()
    await letters.remove(18)
    assert letters.originals() == [19, 17]
    assert await letters.letter(18) is None
    assert (bus.gone, await letters.count()) == ({2}, 2)


async def test_which_events_they_are_about() -> None:
    """An id is found where it can be read, in its own collection, for events and outcomes; no longer when removed."""
    letters = JetStreamDeadLetters(DeadBus(), CREATED, None)
    outcomes, other = "security.outcomes.v1.incidents", "security.events.v1.rules.auth"
    await letters.put(message(17, b'{"id": "a", "severity": 9}'), NO)
    await letters.put(message(18, b'{"event_id": "a", "verdict": "?"}', subject=outcomes), NO)
    await letters.put(message(19, b'{"text": 1}'), NO)
    await letters.put(message(20, b'{"id": "a"}', subject=other), NO)
    await letters.put(message(21, b'{"id": ["a"]}'), NO)
    await letters.put(message(22, b'"a"'), NO)
    await letters.refresh()
    assert letters.about("incidents", ["a"]) == [17, 18]
    assert letters.about("incidents", ["seq-19", "b"]) == [19]
    await letters.remove(17)
    assert letters.about("incidents", ["a"]) == [18]


async def test_what_somebody_else_put_there_hurts_nobody() -> None:
    """Messages without our headers, or with nonsense in them, are passed over or shown as far as they go."""
    bus = DeadBus()
    bus.stored.append(("security.dead.v1.x.y", b"?", {}))
    bus.stored.append(("security.dead.v1.x.y", b"?", {"Precedent-Stream-Seq": "-1"}))
    nonsense = {"Precedent-Stream-Seq": "5", "Precedent-Reason": "?", "Precedent-Headers": "!", "Precedent-Detail": "d"}
    bus.stored.append(("security.dead.v1.x.y", b"?", nonsense))
    letters = JetStreamDeadLetters(bus, CREATED, None)
    await letters.refresh()
    assert letters.originals() == [5]
    letter = await letters.letter(5)
    assert letter is not None
    assert (letter.reason, letter.headers, letter.deliveries) == (DeadReason.UNPROCESSABLE, {}, 0)


async def test_dead_letters_of_a_log_that_was_put_back_still_count() -> None:
    """Put back from a backup it is a new one to its server, but began before that: nothing is refused twice."""
    bus = DeadBus()
    await JetStreamDeadLetters(bus, CREATED, None).put(message(17, b"{"), NO)
    began = datetime(2026, 1, 2, tzinfo=UTC)
    letters = JetStreamDeadLetters(bus, "2026-02-01T00:00:00Z", began)
    await letters.put(message(17, b"{"), NO)
    assert letters.refusals() == {17: NO}
    assert len(bus.stored) == 1
    later = datetime(2026, 2, 2, tzinfo=UTC)
    assert len(await refusals_of(JetStreamDeadLetters(bus, "2026-01-30T00:00:00Z", later))) == 1


async def refusals_of(letters: JetStreamDeadLetters) -> Mapping[int, Refusal]:
    """What a process that has just started knows."""
    await letters.refresh()
    return letters.refusals()


async def test_dead_letters_of_an_older_log_mean_nothing_now() -> None:
    """Sequences of a log that was made anew are not confused with those of the one before."""
    bus = DeadBus()
    await JetStreamDeadLetters(bus, CREATED, None).put(message(17, b"old"), NO)
    bus.known_ids.add("dead:17")
    letters = JetStreamDeadLetters(bus, "2026-02-01T00:00:00Z", None)
    await letters.refresh()
    assert letters.originals() == []
    assert letters.refusals() == {}
    await letters.put(message(17, b"new"), NO)
    assert [data for _, data, _ in bus.stored] == [b"old", b"new"]
    assert bus.stored[1][2]["Nats-Msg-Id"].startswith("dead:17:")


async def test_headers_beyond_the_servers_limit_are_left_out() -> None:
    """The largest go, the others stay, and the dead letter can be written."""
    bus = DeadBus()
    headers = {"huge": ["x" * 50_000], "traceparent": ["00-1"]}
    await JetStreamDeadLetters(bus, CREATED, None).put(message(17, b"{", headers=headers), NO)
    packed = bus.stored[0][2]["Precedent-Headers"]
    assert json.loads(base64.b64decode(packed)) == {"traceparent": ["00-1"]}


async def test_bytes_beyond_max_payload_stay_in_the_log() -> None:
    """A dead letter that the server would cut the connection over is written without them, and says where they are."""
    bus = DeadBus()
    bus.payload_limit = 4_096
    await JetStreamDeadLetters(bus, CREATED, None).put(message(17, b"x" * 4_000), NO)
    (_, data, headers) = bus.stored[0]
    assert data == b""
    assert "in the log alone" in headers["Precedent-Detail"]
