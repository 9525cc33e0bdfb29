"""No event is lost, none is stored twice, none comes back: whatever the bus does, whatever fails, whenever it dies."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from fakes.chaos import Doom
from fakes.deliveries import Quirk
from fakes.indexer import FakeIndexer, InnocentBlamedError
from fakes.log import FakeLog
from fakes.log_model import KILLER, POISON
from precedent_indexer.ingest import pipeline, poison, supervisor
from precedent_indexer.ingest.suspects import ENDED_TWICE
from precedent_schemas.events import Deletion

IDS = ("a", "b", "c", "seq-2", "seq-4")
"""Few, so that events, revisions, outcomes and deletions meet."""

ids = st.sampled_from(IDS)
given_ids = st.sampled_from(("a", "b", "c", None))
collections = st.sampled_from(("incidents", "incidents", "rules"))
actions = st.one_of(
    st.tuples(st.just("event"), given_ids, st.sampled_from(("failed login", "malware", "scan")), collections),
    st.tuples(st.just("event"), given_ids, st.sampled_from((POISON, KILLER)), collections),
    st.tuples(st.just("outcome"), ids, st.sampled_from(("benign", "true_positive")), collections),
    st.tuples(st.just("delete"), st.lists(ids, min_size=1, max_size=3), collections),
    st.tuples(st.just("clear"), collections),
    st.tuples(st.just("raw"), st.sampled_from((b"", b"{", b'{"text": 1}', b'{"text": "x", "severity": 9}'))),
    st.tuples(st.just("subject"), st.sampled_from(("security.events.v1.X.auth", "security.events.v1.incidents.A"))),
    st.just(("gap",)),
    st.just(("ack_wait",)),
    st.just(("consumer_deleted",)),
    st.just(("index_lost",)),
    st.tuples(st.just("run"), st.integers(1, 60)),
)
plans = st.dictionaries(st.integers(1, 250), st.sampled_from(Doom), max_size=8)


@pytest.fixture(autouse=True, scope="module")
def _no_waiting() -> Iterator[None]:
    """Failures are retried at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
        patch.setattr(supervisor, "_LAST_BACKOFF_S", 0)
        patch.setattr(poison, "_BETWEEN_TRIES_S", 0)
        yield


async def act(indexer: FakeIndexer, action: tuple[Any, ...]) -> None:
    """One step of a script."""
    if action[0] == "run":
        await indexer.run(action[1])
    elif action[0] == "ack_wait":
        indexer.feed.let_ack_wait_pass()
    elif action[0] == "consumer_deleted":
        indexer.feed.delete()
    elif action[0] == "index_lost":
        await indexer.lose_the_index()
    else:
        publish(indexer.log, action)


def publish(log: FakeLog, action: tuple[Any, ...]) -> None:
    """What publishers and other indexers do."""
    match action:
        case ("event", event_id, text, collection):
            log.publish_event({"text": text} | ({"id": event_id} if event_id else {}), collection)
        case ("outcome", event_id, verdict, collection):
            log.publish_outcome({"event_id": event_id, "verdict": verdict}, collection)
        case ("delete", some, collection):
            log.delete(Deletion(ids=some), collection)
        case ("clear", collection):
            log.delete(Deletion(all=True), collection)
        case ("raw", data):
            log.publish("security.events.v1.incidents.auth", data)
        case ("subject", subject):
            log.publish(subject, b'{"text": "x"}')
        case ("gap",):
            log.lose(log.publish_event({"text": "gone before anybody saw it"}))


async def play(indexer_of: Any, script: list[tuple[Any, ...]]) -> FakeIndexer:
    """The whole script, and then on to the end."""
    indexer: FakeIndexer = indexer_of()
    for action in script:
        await act(indexer, action)
    await indexer.run_to_the_end()
    indexer.check_end()
    return indexer


@settings(max_examples=600, deadline=None, database=None)
@given(
    script=st.lists(actions, max_size=30),
    plan=plans,
    quirks=st.lists(st.sampled_from(Quirk), max_size=30),
    batch_size=st.sampled_from((1, 2, 5, 64)),
    save_every_s=st.sampled_from((-1.0, 1e9)),
)
def test_the_index_equals_the_log_whatever_happens(
    script: list[tuple[Any, ...]],
    plan: dict[int, Doom],
    quirks: list[Quirk],
    batch_size: int,
    save_every_s: float,
) -> None:
    """At every settlement and every save the store is as far as is claimed; in the end it equals a model of the log.

    So do the dead letters and what deletions leave of the log, and everything is settled.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "_SAVE_EVERY_S", save_every_s)
        try:
            asyncio.run(play(lambda: FakeIndexer(plan, quirks, batch_size), script))
        except InnocentBlamedError:
            reject()


BUSY: list[tuple[Any, ...]] = [
    ("event", "a", "failed login", "incidents"),
    ("outcome", "b", "benign", "incidents"),
    ("event", "b", "malware", "incidents"),
    ("event", None, POISON, "incidents"),
    ("run", 30),
    ("outcome", "a", "true_positive", "incidents"),
    ("event", "a", "scan", "incidents"),
    ("raw", b"{"),
    ("delete", ["a", "seq-2", "seq-4"], "incidents"),
    ("event", "a", "failed login", "incidents"),
    ("run", 30),
    ("outcome", "b", "true_positive", "incidents"),
    ("gap",),
    ("clear", "incidents"),
    ("event", "b", "scan", "incidents"),
    ("run", 30),
    ("outcome", "b", "benign", "incidents"),
]
"""A script in which everything meets."""


@pytest.mark.parametrize("doom", list(Doom))
def test_every_single_step_may_fail(doom: Doom) -> None:
    """A busy script ends right wherever a fault, or a kill, strikes once: each step is tried."""
    calm = asyncio.run(play(lambda: FakeIndexer({}, (), 4), BUSY))
    struck = []
    for step in range(1, calm.chaos.steps + 1):
        indexer = asyncio.run(play(lambda step=step: FakeIndexer({step: doom}, (), 4), BUSY))
        struck += indexer.chaos.struck
        assert indexer.lives == (2 if indexer.chaos.struck and doom is Doom.KILL else 1)
    steps = {"store.write rows", "log.erase", "log.purge", "dead_letters.put", "dead_letters.remove"}
    assert steps | {"checkpoint.save", "feed.ack"} <= set(struck)


def test_a_message_that_kills_is_found_out_wherever_else_something_fails() -> None:
    """It ends the process three times at most, becomes a dead letter, and its neighbours are indexed.

    First it is in hand with others, then twice alone; a kill by something else, at any step, adds one life.
    """
    script: list[tuple[Any, ...]] = [
        ("event", "a", "before", "incidents"),
        ("event", "b", KILLER, "incidents"),
        ("event", "c", "after", "incidents"),
        ("run", 40),
        ("outcome", "b", "benign", "incidents"),
        ("event", "a", "revised", "incidents"),
    ]
    calm = asyncio.run(play(lambda: FakeIndexer({}, (), 4), script))
    assert calm.lives == 4
    assert calm.dead_letters.letters[2][1].detail == ENDED_TWICE
    for step in range(1, calm.chaos.steps + 1):
        for doom in Doom:
            indexer = asyncio.run(play(lambda step=step, doom=doom: FakeIndexer({step: doom}, (), 4), script))
            assert indexer.lives <= 5
            assert indexer.dead_letters.letters.keys() == {2}


def test_a_killer_is_known_to_the_next_index() -> None:
    """An index that is filled anew passes over what the one before it found out: nothing ends again for it."""

    async def scenario() -> None:
        indexer = FakeIndexer({}, (), 4)
        indexer.log.publish_event({"text": KILLER})
        indexer.log.publish_event({"text": "innocent"})
        await indexer.run_to_the_end()
        lives = indexer.lives
        await indexer.lose_the_index()
        await indexer.run_to_the_end()
        indexer.check_end()
        assert indexer.lives == lives + 1

    asyncio.run(scenario())


def test_a_lost_delivery_is_read_from_the_log() -> None:
    """What never arrives is indexed without waiting for its redelivery."""

    async def scenario() -> None:
        indexer = FakeIndexer({}, [Quirk.LOST] * 3, 4)
        for number in range(3):
            indexer.log.publish_event({"text": f"event {number}"})
        await indexer.run(100)
        assert indexer.progress.indexed_seq == 3
        assert sorted(indexer.feed.pending_acks) == [1, 2, 3]
        indexer.feed.let_ack_wait_pass()
        await indexer.run(20)
        assert indexer.feed.settlements == {1: ["ack"], 2: ["ack"], 3: ["ack"]}
        await indexer.run_to_the_end()

    asyncio.run(scenario())


def test_a_deleted_consumer_is_made_again_from_the_watermark() -> None:
    """It is created anew behind what is indexed, and nothing between is missed."""

    async def scenario() -> None:
        indexer = FakeIndexer({}, (), 4)
        indexer.log.publish_event({"text": "before"})
        await indexer.run(100)
        indexer.feed.delete()
        indexer.log.publish_event({"text": "meanwhile"})
        await indexer.run_to_the_end()
        assert indexer.feed.recreated_after == [1]
        indexer.check_end()

    asyncio.run(scenario())


def test_a_deleted_tail_is_covered() -> None:
    """Messages at the end of the log that vanished before anybody saw them hold nobody up."""

    async def scenario() -> None:
        indexer = FakeIndexer({}, (), 4)
        indexer.log.publish_event({"text": "stays"})
        for _ in range(3):
            indexer.log.lose(indexer.log.publish_event({"text": "goes"}))
        await indexer.run_to_the_end()
        assert indexer.progress.indexed_seq == indexer.checkpoint.saved == 4

    asyncio.run(scenario())


def test_a_lost_index_becomes_the_same_again() -> None:
    """Whatever was revised, decided and deleted, an index that is filled anew from the log holds the same."""
    indexer = asyncio.run(play(lambda: FakeIndexer({}, (), 4), [*BUSY, ("run", 60), ("index_lost",)]))
    before = asyncio.run(play(lambda: FakeIndexer({}, (), 4), BUSY))
    assert indexer.lives == 2
    for collection in before.store.collections():
        assert indexer.store.contents(collection) == before.store.contents(collection)
