"""The synchronous client: the same methods, from any thread, and each call told how it ended."""

import inspect
import threading
import typing
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from precedent_backend_adapter import (
    PrecedentClient,
    PublishProgress,
    Refused,
    SecurityEvent,
    Unavailable,
)
from precedent_backend_adapter.sync import Precedent
from precedent_backend_adapter.testing import InMemoryPrecedent

METHODS = sorted(
    name for name, _ in inspect.getmembers(PrecedentClient, inspect.isfunction) if not name.startswith("_")
)


def an_event(text: str = "failed login", **fields: str) -> SecurityEvent:
    """An event that is right."""
    return SecurityEvent.model_validate({"kind": "auth", "text": text, **fields})


@pytest.fixture
def precedent() -> Iterator[Precedent]:
    """A client over an empty log in memory."""
    with Precedent(InMemoryPrecedent) as client:
        yield client


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_the_same_signature(name: str) -> None:
    """Parameters, defaults and types are those of the asynchronous client, but for iterators, which are plain ones."""
    theirs, ours = inspect.signature(getattr(PrecedentClient, name)), inspect.signature(getattr(Precedent, name))
    assert list(ours.parameters) == list(theirs.parameters)
    for parameter, one in theirs.parameters.items():
        if parameter not in ("self", "events"):
            assert ours.parameters[parameter] == one
    returned = theirs.return_annotation
    if typing.get_origin(returned) is AsyncIterator:
        returned = Iterator[typing.get_args(returned)]  # type: ignore[misc] # built at run time
    assert ours.return_annotation == returned
    assert inspect.getdoc(getattr(Precedent, name))


def test_it_publishes_asks_and_iterates(precedent: Precedent) -> None:
    """Results are those of the asynchronous client."""
    receipts = [precedent.publish(an_event(f"failed login {number}")) for number in range(5)]
    answer = precedent.search("failed login 3", k=1, after=receipts[-1])
    assert [hit.event.id for hit in answer.hits] == [receipts[3].id]
    assert [entry.seq for entry in precedent.list(page_size=2)] == [5, 4, 3, 2, 1]
    assert next(precedent.list()).seq == 5
    assert precedent.outbox_status() is None


def test_exceptions_are_those_of_the_asynchronous_client(precedent: Precedent) -> None:
    """They arrive in the thread that called."""
    with pytest.raises(Refused, match="k"):
        precedent.search("x", k=0)
    with pytest.raises(Refused, match="event"):
        precedent.publish("failed login")  # type: ignore[arg-type] # the point


def test_any_number_of_threads_may_call_it(precedent: Precedent) -> None:
    """Every call gets its own answer."""

    def publish(number: int) -> tuple[str, int]:
        receipt = precedent.publish(an_event(id=f"e-{number}"))
        [found] = precedent.get([f"e-{number}"]).events
        assert found.event.id == receipt.id == f"e-{number}"
        return receipt.id, receipt.seq

    with ThreadPoolExecutor(16) as threads:
        published = list(threads.map(publish, range(200)))
    assert len({seq for _, seq in published}) == 200


def test_many_events_are_taken_in_the_calling_thread(precedent: Precedent) -> None:
    """An iterable that belongs to its thread, such as a database's cursor, can be given; the report is by position."""
    threads: set[int] = set()
    told: list[PublishProgress] = []

    def events() -> Iterator[SecurityEvent]:
        for number in range(300):
            threads.add(threading.get_ident())
            yield an_event(id=f"e-{number}")

    report = precedent.publish_many(events(), window=8, progress=told.append)
    assert [report.receipts[number].id for number in range(300)] == [f"e-{number}" for number in range(300)]
    assert threads == {threading.get_ident()}
    assert told[-1].published == 300


def test_what_the_iterable_raises_ends_the_call(precedent: Precedent) -> None:
    """As it does for the asynchronous client."""

    def events() -> Iterator[SecurityEvent]:
        yield an_event()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        precedent.publish_many(events())


def test_an_endless_iterable_is_left_when_the_call_has_failed(precedent: Precedent) -> None:
    """A wrong argument is found before everything has been read."""

    def events() -> Iterator[SecurityEvent]:
        while True:
            yield an_event()

    for wrong in (0, "8"):
        with pytest.raises(Refused, match="window"):
            precedent.publish_many(events(), window=wrong)  # type: ignore[arg-type] # the point
    with pytest.raises(Refused, match="events"):
        precedent.publish_many(an_event())  # type: ignore[arg-type] # a model is iterable


def test_a_callback_that_calls_the_client_is_refused(precedent: Precedent) -> None:
    """It would wait for itself for ever."""
    with pytest.raises(Refused, match="another thread"):
        precedent.publish_many([an_event()], progress=lambda _: precedent.stats() and None)


def test_a_closed_client_says_so() -> None:
    """Also to a thread that waits for an answer meanwhile; closing again is no error."""
    memory = InMemoryPrecedent(outbox=True)
    precedent = Precedent(lambda: memory)
    memory.hold_outbox()
    receipt = precedent.publish(an_event())
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(precedent.flush)
        assert not waiting.done()
        precedent.close()
        with pytest.raises(Unavailable, match="closed"):
            waiting.result()
    precedent.close()
    with pytest.raises(Unavailable, match="closed"):
        precedent.stats()
    assert not receipt.is_delivered


def test_what_the_outbox_took_can_be_waited_for() -> None:
    """`delivered` takes the place of the coroutines of a receipt and of a report."""
    memory = InMemoryPrecedent(outbox=True)
    with Precedent(lambda: memory) as precedent:
        receipt = precedent.publish(an_event())
        assert precedent.delivered(receipt).seq == 1
        report = precedent.publish_many([an_event(), an_event()])
        assert precedent.delivered(report).last_seq == 3


def test_a_client_that_cannot_be_opened_raises_where_it_is_called() -> None:
    """Nothing is left behind, and the next call tries again."""
    tries = 0

    def opened() -> InMemoryPrecedent:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise Unavailable("no server")
        return InMemoryPrecedent()

    with Precedent(opened) as precedent:
        with pytest.raises(Unavailable, match="no server"):
            precedent.stats()
        assert precedent.stats().indexed_seq == 0
