"""Background work lets questions pass, and comes nevertheless."""

import asyncio
import threading

from fakes.making import event
from precedent_indexer.api.server import QueryServer
from precedent_indexer.domain.messages import Packet, Tally
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime.priority import QUESTIONS, QueryPriority
from precedent_schemas import answers, catalogue

LONG_S = 30.0
EMPTY = answers.GetReply(
    indexed_seq=1, stream_seq=1, model=answers.ModelRef(name="m", fingerprint="f"), events=[], missing=[event("a").id]
)


def test_who_lets_pass_goes_on_when_nobody_asks_any_more() -> None:
    """It waits while a question is worked on, and is let go by its end, not by the clock."""
    priority, passed = QueryPriority(), threading.Event()

    def work() -> None:
        priority.let_pass(LONG_S)
        passed.set()

    with priority.asking():
        worker = threading.Thread(target=work)
        worker.start()
        assert not passed.wait(0.05)
    assert passed.wait(LONG_S)
    worker.join()


def test_questions_without_end_do_not_stop_the_work() -> None:
    """It waits for a bounded time only."""
    priority = QueryPriority()
    with priority.asking():
        priority.let_pass(0.001)
        assert priority.asked_lately


def test_somebody_who_asked_may_ask_again() -> None:
    """Nobody asks at first; after a question somebody did lately."""
    priority = QueryPriority()
    assert not priority.asked_lately
    with priority.asking():
        assert priority.asked_lately
    assert priority.asked_lately


async def test_the_door_says_when_a_question_is_worked_on() -> None:
    """While a verb answers, background work of this process lets it pass; afterwards it need not."""
    answering, finish = asyncio.Event(), asyncio.Event()

    async def get(_collection: str, _request: object) -> answers.GetReply:
        answering.set()
        await finish.wait()
        return EMPTY

    async def nothing(*_: object) -> None:
        return None

    query_server = QueryServer(
        {"get": get},
        reply=nothing,
        wait_until_covered=nothing,
        prefetch=nothing,
        max_payload=lambda: 1000,
        at_once=1,
        waiting=1,
        metrics=discard_metrics(),
    )
    await query_server.take(
        catalogue.GET, Packet("security.index.v1.incidents.get", "_INBOX.a", b'{"ids": ["a"]}', {}), Tally()
    )
    await answering.wait()
    passing = asyncio.create_task(asyncio.to_thread(QUESTIONS.let_pass, LONG_S))
    await asyncio.sleep(0.02)
    assert not passing.done()
    finish.set()
    await query_server.drain()
    await passing
