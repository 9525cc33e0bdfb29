"""Where questions come in: every failure has its code, none shows an exception's text, and the load is bounded."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from fakes.making import event, outcome
from precedent_indexer.api import server
from precedent_indexer.api.server import QueryServer, Verb
from precedent_indexer.domain.messages import Packet, Tally
from precedent_indexer.errors import QuestionFailed, StoreUnavailable
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime.priority import QueryPriority
from precedent_schemas import answers, catalogue, codec
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.failures import ErrorBody, ErrorDetail, ErrorReason
from precedent_schemas.questions import GetRequest, SearchRequest

MODEL = answers.ModelRef(name="m", fingerprint="f")
EMPTY = answers.GetReply(indexed_seq=1, stream_seq=1, model=MODEL, events=[], missing=[])
SECRET = "what the caller sent"


def get_reply(count: int, text: str = "x" * 100) -> answers.GetReply:
    """A reply with so many events."""
    entry = [answers.Entry(event=event(f"e{n:03}", text=text), seq=n + 1, outcome=outcome()) for n in range(count)]
    return EMPTY.model_copy(update={"events": entry})


class Entrance:
    """A door over verbs of the test's own, and every reply that left it."""

    def __init__(self, *, max_payload: int = 1024 * 1024, at_once: int = 2, waiting: int = 1, **verbs: Verb) -> None:
        self.replies: list[tuple[Packet, bytes, dict[str, str] | None]] = []
        self.waits: list[tuple[int, int]] = []
        self.prefetched: list[tuple[BaseModel, int]] = []
        self.prefetching = asyncio.Event()
        self.embedded = asyncio.Event()
        self.covered = asyncio.Event()
        self.covered.set()
        self.tally = Tally()
        self.wait_failure: Exception | None = None
        self.reply_failure: Exception | None = None
        self.query_server = QueryServer(
            verbs,
            reply=self._reply,
            wait_until_covered=self._wait,
            prefetch=self._prefetch,
            max_payload=lambda: max_payload,
            at_once=at_once,
            waiting=waiting,
            metrics=discard_metrics(),
        )

    async def _reply(self, packet: Packet, data: bytes, headers: dict[str, str] | None) -> None:
        self.replies.append((packet, data, headers))
        if self.reply_failure:
            raise self.reply_failure

    async def _prefetch(self, request: BaseModel, seq: int) -> None:
        self.prefetching.set()
        await self.embedded.wait()
        self.prefetched.append((request, seq))

    async def _wait(self, seq: int, wait_ms: int) -> None:
        self.waits.append((seq, wait_ms))
        await self.covered.wait()
        if self.wait_failure:
            raise self.wait_failure

    async def take(self, data: bytes, endpoint: Endpoint = catalogue.GET, collection: str = "incidents") -> None:
        """One question in."""
        subject = endpoint.subject.replace("*", collection)
        await self.query_server.take(endpoint, Packet(subject, "_INBOX.asker", data, {}), self.tally)

    async def ask(self, data: bytes, endpoint: Endpoint = catalogue.GET, collection: str = "incidents") -> bytes:
        """One question in and its answer out."""
        await self.take(data, endpoint, collection)
        await self.query_server.drain()
        return self.replies[-1][1]

    async def error(
        self, data: bytes, endpoint: Endpoint = catalogue.GET, collection: str = "incidents"
    ) -> ErrorDetail:
        """The error that a question gets; its headers say the same."""
        found = codec.decode(ErrorBody, await self.ask(data, endpoint, collection)).error
        headers = self.replies[-1][2]
        assert headers is not None
        assert headers["Nats-Service-Error-Code"] == str(found.code)
        assert headers["Nats-Service-Error"].isascii()
        assert len(headers["Nats-Service-Error"]) <= 256
        assert self.tally.last_error == f"{found.code}:{found.reason}"
        return found


def verb(result: Any) -> Verb:
    """A verb that gives this, or raises it."""

    async def answer(_collection: str, _request: Any) -> BaseModel:
        if isinstance(result, BaseException):
            raise result
        reply: BaseModel = result
        return reply

    return answer


@pytest.mark.parametrize(
    ("endpoint", "data", "first"),
    [
        (catalogue.GET, b'{"ids": ["a"]}', True),
        (catalogue.DELETE, b'{"ids": ["a"]}', False),
        (catalogue.STATS, b"", False),
    ],
)
async def test_writing_makes_way_for_questions_alone(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, data: bytes, first: bool
) -> None:
    """A deletion waits for the writing itself, and who only watches must not slow it down."""
    priority = QueryPriority()
    monkeypatch.setattr(server, "QUESTIONS", priority)
    seen: list[bool] = []

    async def answer(_collection: str, _request: Any) -> BaseModel:
        seen.append(priority.asked_lately)
        return EMPTY

    await Entrance(get=answer, delete=answer, stats=answer).ask(data, endpoint)
    assert seen == [first]


async def test_an_answer_goes_to_who_asked() -> None:
    """The verb gets the collection and the decoded request; its reply goes to the asker; the tally counts no error."""
    seen: list[tuple[str, Any]] = []

    async def get(collection: str, request: Any) -> BaseModel:
        seen.append((collection, request))
        return EMPTY

    entrance = Entrance(get=get)
    assert codec.decode(answers.GetReply, await entrance.ask(b'{"ids": ["a"]}')) == EMPTY
    assert seen == [("incidents", GetRequest(ids=["a"]))]
    assert entrance.replies[0][0].reply == "_INBOX.asker"
    assert entrance.replies[0][2] == {"Precedent-Untrusted": "events"}
    assert (entrance.tally.errors, entrance.tally.last_error) == (0, "")
    assert entrance.tally.processing_ns > 0


@pytest.mark.parametrize(
    ("data", "code", "field"),
    [
        (b'{"ids": []}', 400, "ids"),
        (b'{"ids": ["a"], "colour": 1}', 400, "colour"),
        (b"", 400, "ids"),
        (b"{", 400, ""),
        (b'{"ids": ["a"], "ids": ["b"]}', 400, ""),
        (b'{"ids": ["\xff"]}', 400, ""),
    ],
)
async def test_a_request_that_is_not_valid_is_400(data: bytes, code: int, field: str) -> None:
    """The field is named, and the verb is never asked."""
    entrance = Entrance(get=verb(AssertionError("asked")))
    error = await entrance.error(data)
    assert (error.code, error.reason) == (code, "invalid_request")
    assert [one.field for one in error.details] == [field]
    assert entrance.tally.errors == 1


async def test_a_text_beyond_its_limit_is_413() -> None:
    """A question's text that is too long is too large, not invalid."""
    entrance = Entrance(search=verb(AssertionError("asked")))
    error = await entrance.error(b'{"text": "' + b"x" * 40_000 + b'"}', catalogue.SEARCH)
    assert (error.code, error.details[0].field) == (413, "text")


@pytest.mark.parametrize("name", ["X", "ab", "a" * 64, "_", "-ab", "\u202eabc"])
async def test_a_collection_that_can_not_be_is_404(name: str) -> None:
    """A name that no collection may have is not found; the verb is never asked."""
    entrance = Entrance(get=verb(AssertionError("asked")))
    error = await entrance.error(b'{"ids": ["a"]}', collection=name)
    assert (error.code, error.reason) == (404, "not_found")
    assert error.message.isascii()


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (StoreUnavailable(SECRET), 503),
        (RuntimeError(SECRET), 500),
        (KeyError(SECRET), 500),
        (TimeoutError(SECRET), 500),
    ],
)
async def test_failures_show_nothing_of_themselves(failure: Exception, code: int) -> None:
    """An outage is 503, anything unforeseen 500; neither shows the exception's text, and both are counted."""
    entrance = Entrance(get=verb(failure))
    error = await entrance.error(b'{"ids": ["a"]}')
    assert error.code == code
    assert SECRET not in str(entrance.replies)
    assert entrance.tally.errors == 1


async def test_what_a_verb_says_is_shown() -> None:
    """A failure that a verb worded for the caller comes through whole."""
    entrance = Entrance(get=verb(QuestionFailed(ErrorReason.NOT_FOUND, "näh")))
    assert (await entrance.error(b'{"ids": ["a"]}')).message == "näh"


async def test_one_question_too_many_is_429() -> None:
    """`at_once` are worked on, `waiting` wait, one more is refused at once; all taken are answered in the end."""
    gate = asyncio.Event()
    working = 0
    most = 0

    async def slow(_collection: str, _request: Any) -> BaseModel:
        nonlocal working, most
        working += 1
        most = max(most, working)
        await gate.wait()
        working -= 1
        return EMPTY

    entrance = Entrance(get=slow, at_once=2, waiting=1)
    for _ in range(5):
        await entrance.take(b'{"ids": ["a"]}')
    for _ in range(10):
        await asyncio.sleep(0)
    assert [codec.decode(ErrorBody, data).error.code for _, data, _ in entrance.replies] == [429, 429]
    gate.set()
    await entrance.query_server.drain()
    assert ["Nats-Service-Error" in (headers or {}) for _, _, headers in entrance.replies[2:]] == [False] * 3
    assert (most, entrance.tally.errors) == (2, 2)
    await entrance.ask(b'{"ids": ["a"]}')
    assert "Nats-Service-Error" not in (entrance.replies[-1][2] or {})


async def test_who_waits_for_the_index_holds_up_nobody() -> None:
    """Waiting for `min_seq` takes no slot; when it fails, that is the answer."""
    entrance = Entrance(search=verb(EMPTY), at_once=1)
    await entrance.ask(b'{"text": "x", "min_seq": 7, "wait_ms": 5}', catalogue.SEARCH)
    await entrance.ask(b'{"text": "x"}', catalogue.SEARCH)
    assert entrance.waits == [(7, 5)]
    entrance.wait_failure = QuestionFailed(ErrorReason.NOT_INDEXED_YET, "later")
    assert (await entrance.error(b'{"text": "x", "min_seq": 7}', catalogue.SEARCH)).code == 504
    assert SearchRequest(text="x").wait_ms == entrance.waits[-1][1]


async def test_a_reply_that_is_too_large_is_never_sent() -> None:
    """Above the limit leaves nothing but 413; below it the reply as it is."""
    reply = get_reply(400, "x" * 100)
    ids = codec.dump({"ids": [one.event.id for one in reply.events]})
    error = await Entrance(get=verb(reply), max_payload=20_000).error(ids)
    assert (error.code, error.reason) == (413, "too_large")
    entrance = Entrance(get=verb(reply), max_payload=200_000)
    await entrance.ask(ids)
    assert "Nats-Service-Error" not in (entrance.replies[-1][2] or {})


async def test_a_reply_that_cannot_be_sent_ends_nothing() -> None:
    """An asker who is gone does not hurt the door: it drains, and the next question is answered."""
    entrance = Entrance(get=verb(EMPTY))
    entrance.reply_failure = ConnectionError("gone")
    await entrance.ask(b'{"ids": ["a"]}')
    entrance.reply_failure = None
    await entrance.ask(b'{"ids": ["a"]}')
    assert len(entrance.replies) == 2


async def test_the_services_own_stats_name_no_collection() -> None:
    """An endpoint without a collection in its subject gives its verb none."""
    seen: list[str] = []

    async def stats(collection: str, _request: Any) -> BaseModel:
        seen.append(collection)
        return EMPTY

    await Entrance(stats=stats).ask(b"", catalogue.STATS)
    assert seen == [""]


async def test_old_verbs_answer_until_the_switch_and_new_ones_after_it() -> None:
    """A question in hand ends where it began; one that waited for the index is answered by the verbs of then."""
    going_on, covered = asyncio.Event(), asyncio.Event()
    asked: list[str] = []

    async def old(_collection: str, _request: Any) -> BaseModel:
        asked.append("old")
        await going_on.wait()
        return EMPTY

    async def new(_collection: str, _request: Any) -> BaseModel:
        asked.append("new")
        return EMPTY

    async def wait(_seq: int, _wait_ms: int) -> None:
        await covered.wait()

    entrance = Entrance(get=old, search=old)
    entrance.query_server._wait_until_covered = wait
    await entrance.take(b'{"ids": ["a"]}')
    await entrance.take(b'{"text": "x", "min_seq": 7}', catalogue.SEARCH)
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked == ["old"]
    ended = asyncio.ensure_future(entrance.query_server.use({"get": new, "search": new})())
    covered.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert asked == ["old", "new"]
    assert not ended.done()
    going_on.set()
    await entrance.query_server.drain()
    await ended
    await entrance.ask(b'{"ids": ["a"]}')
    assert asked == ["old", "new", "new"]
    assert not any("Nats-Service-Error" in (headers or {}) for _, _, headers in entrance.replies)


async def test_a_switch_without_questions_waits_for_nobody() -> None:
    """Where nothing is in hand, the old generation may go at once; also when its questions have failed."""

    async def fails(_collection: str, _request: Any) -> BaseModel:
        raise StoreUnavailable("down")

    entrance = Entrance(get=fails)
    await entrance.ask(b'{"ids": ["a"]}')
    await entrance.query_server.use({"get": fails})()


async def test_work_in_the_background_waits_for_questions_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on at once where there are none, after the last where they end, and in any case after a moment."""
    monkeypatch.setattr(server, "QUESTIONS", QueryPriority())
    monkeypatch.setattr(server, "_YIELD_S", 0.01)
    going_on = asyncio.Event()

    async def slow(_collection: str, _request: Any) -> BaseModel:
        await going_on.wait()
        return EMPTY

    entrance = Entrance(get=slow)
    await entrance.query_server.let_questions_pass()
    await entrance.take(b'{"ids": ["a"]}')
    await asyncio.sleep(0)
    await entrance.query_server.let_questions_pass()
    assert entrance.replies == []
    monkeypatch.setattr(server, "_YIELD_S", 3600.0)
    passing = asyncio.ensure_future(entrance.query_server.let_questions_pass())
    going_on.set()
    await passing
    await entrance.query_server.drain()


async def test_work_in_the_background_does_not_wait_for_what_waits_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion in hand holds up no rebuild: it goes on at once, beside it; and the switch waits for it still."""
    monkeypatch.setattr(server, "_YIELD_S", 3600.0)
    begun, applied = asyncio.Event(), asyncio.Event()

    async def slow(_collection: str, _request: Any) -> BaseModel:
        begun.set()
        await applied.wait()
        return answers.DeleteReply(deleted=["a"], missing=[])

    entrance = Entrance(delete=slow)
    await entrance.take(b'{"ids": ["a"]}', catalogue.DELETE)
    await begun.wait()
    passing = asyncio.ensure_future(entrance.query_server.let_questions_pass())
    await asyncio.wait({passing}, timeout=10)
    went_on = passing.done()
    ended = asyncio.ensure_future(entrance.query_server.use({})())
    await asyncio.sleep(0)
    assert not ended.done()
    applied.set()
    await asyncio.gather(ended, passing)
    await entrance.query_server.drain()
    assert went_on


async def test_a_question_that_waits_for_the_index_is_prepared_meanwhile() -> None:
    """What it needs is begun while it waits, and given up when the wait ends; who does not wait is not foreseen."""
    entrance = Entrance(get=verb(EMPTY), search=verb(EMPTY))
    await entrance.ask(b'{"ids": ["a"]}')
    assert not entrance.prefetching.is_set()
    entrance.covered.clear()
    await entrance.take(b'{"text": "a", "min_seq": 5, "wait_ms": 7}', catalogue.SEARCH)
    await entrance.prefetching.wait()
    assert (entrance.waits, len(entrance.replies)) == ([(5, 7)], 1)
    entrance.embedded.set()
    entrance.covered.set()
    await entrance.query_server.drain()
    assert entrance.prefetched == [(SearchRequest(text="a", min_seq=5, wait_ms=7), 5)]
    entrance.embedded.clear()
    await entrance.ask(b'{"text": "b", "min_seq": 6, "wait_ms": 7}', catalogue.SEARCH)
    entrance.embedded.set()
    await asyncio.sleep(0)
    assert (len(entrance.replies), len(entrance.prefetched)) == (3, 1)
