"""What the write corridor does besides: words to the server, the owner of the consumer, saving, and a soft stop."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fakes.deliveries import FakeDelivery
from fakes.indexer import FakeIndexer
from fakes.waiting import until
from precedent_indexer.domain.messages import ConsumerState
from precedent_indexer.errors import StartRefused
from precedent_indexer.ingest import pipeline, supervisor
from precedent_schemas.events import Deletion


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes, running."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(supervisor, "_TOUCH_EVERY_S", 0)
    made = FakeIndexer({}, (), 4)
    yield made
    made._task.cancel()
    await asyncio.wait({made._task})


async def test_what_is_in_hand_is_not_delivered_elsewhere(
    indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a batch is worked on, the server hears of each of its messages; once it is settled, no longer."""
    held = asyncio.Event()
    commit = indexer.applier.commit

    async def slow(prepared: object) -> object:
        await held.wait()
        return await commit(prepared)  # type: ignore[arg-type]

    monkeypatch.setattr(indexer.applier, "commit", slow)
    for number in range(3):
        indexer.log.publish_event({"text": f"event {number}"})
    await until(lambda: {1, 2, 3} <= set(indexer.feed.touched))
    assert indexer.feed.settlements == {}
    held.set()
    await until(lambda: indexer.feed.settlements == {1: ["ack"], 2: ["ack"], 3: ["ack"]})
    indexer.feed.touched.clear()
    for _ in range(20):
        await asyncio.sleep(0)
    assert indexer.feed.touched == []


async def test_a_consumer_that_has_nothing_to_deliver_is_not_believed(
    indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it skips messages, whoever made it how, the log is read: the watermark passes over nothing unread."""

    async def nothing(_limit: int, _timeout_s: float) -> list[FakeDelivery]:
        await asyncio.sleep(0)
        return []

    async def state() -> ConsumerState:
        return ConsumerState(0, 0, 0, 0, "fake", "fake")

    monkeypatch.setattr(indexer.feed, "next_batch", nothing)
    monkeypatch.setattr(indexer.feed, "state", state)
    seq = indexer.log.publish_event({"id": "skipped", "text": "an event"})
    await until(lambda: indexer.progress.indexed_seq == seq)
    assert list(indexer.store.rows("incidents", ["skipped"])) == ["skipped"]


async def test_a_consumer_taken_over_by_another_ends_the_process(indexer: FakeIndexer) -> None:
    """The corridor does not go on beside another writer: it ends and says why."""
    await until(lambda: indexer.checkpoint.owner_checks)
    indexer.feed.index_uuid = "another"
    await until(indexer._task.done)
    with pytest.raises(StartRefused, match="another"):
        indexer._task.result()


async def test_a_soft_stop_finishes_what_is_in_hand(indexer: FakeIndexer) -> None:
    """Told to stop, the corridor settles what it took, saves the watermark, and takes nothing more."""
    for number in range(40):
        indexer.log.publish_event({"text": f"event {number}"})
    await until(lambda: indexer.feed.settlements)
    indexer.ingest.stop()
    await until(indexer._task.done)
    indexer._task.result()
    taken = indexer.feed.delivered_seq
    assert 0 < taken < 40
    assert sorted(indexer.feed.settlements) == list(range(1, taken + 1))
    assert indexer.feed.pending_acks == {}
    assert indexer.checkpoint.saved == indexer.progress.indexed_seq == taken


async def test_a_soft_stop_gives_back_what_was_not_begun(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered and is not worked on any more is delivered again at once, not after ack_wait."""
    waiting = asyncio.Event()
    prepare = indexer.applier.prepare

    async def slow(messages: object) -> object:
        await waiting.wait()
        return await prepare(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(indexer.applier, "prepare", slow)
    indexer.log.lose(indexer.log.publish_event({"text": "a gap, that must be read about"}))
    for number in range(4):
        indexer.log.publish_event({"text": f"event {number}"})
    monkeypatch.setattr(pipeline, "_BATCH_BYTES", 0)
    await until(lambda: indexer.feed.pending_acks)
    indexer.ingest.stop()
    waiting.set()
    await until(indexer._task.done)
    assert {*indexer.feed.settlements, *indexer.feed.given_back} == {2, 3, 4, 5}
    assert sorted(indexer.feed.settlements) == list(range(2, indexer.checkpoint.saved + 1))


async def test_long_texts_make_smaller_batches(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is closed once its payload is large, although it could hold more messages."""
    monkeypatch.setattr(pipeline, "_BATCH_BYTES", 1000)
    sizes: list[int] = []
    prepare = indexer.applier.prepare

    async def counting(messages: list[object]) -> object:
        sizes.append(len(messages))
        return await prepare(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(indexer.applier, "prepare", counting)
    for _ in range(4):
        indexer.log.publish_event({"text": "x" * 900})
    await until(lambda: indexer.progress.indexed_seq == 4)
    assert max(sizes) == 2
    assert sum(sizes) == 4


async def test_a_deletion_is_saved_before_it_is_covered(indexer: FakeIndexer) -> None:
    """Whoever asked for it may be answered when it is covered: a crash right after must not forget it."""
    indexer.log.publish_event({"text": "x", "id": "a"})
    seq = indexer.log.delete(Deletion(ids=["a"]))
    await until(lambda: indexer.progress.indexed_seq >= seq)
    assert indexer.checkpoint.saved >= seq


async def test_held_is_still_and_goes_on_afterwards(indexer: FakeIndexer) -> None:
    """Within a hold nothing is taken, committed, settled or saved, and all that was taken is; then it goes on."""
    for number in range(10):
        indexer.log.publish_event({"text": f"event {number}"})
    await until(lambda: indexer.feed.settlements)
    async with indexer.ingest.held():
        covered, steps = indexer.progress.indexed_seq, indexer.chaos.steps
        assert indexer.checkpoint.saved == covered == max(indexer.feed.settlements)
        indexer.log.publish_event({"text": "meanwhile"})
        for _ in range(200):
            await asyncio.sleep(0)
        assert (indexer.progress.indexed_seq, indexer.chaos.steps) == (covered, steps)
    await until(lambda: indexer.progress.indexed_seq == indexer.log.last_seq)


async def test_holds_come_one_after_the_other(indexer: FakeIndexer) -> None:
    """A second holder waits for the first, and the corridor for both."""
    order: list[str] = []

    async def hold(name: str) -> None:
        async with indexer.ingest.held():
            order.append(f"{name} begins")
            for _ in range(20):
                await asyncio.sleep(0)
            order.append(f"{name} ends")

    await asyncio.gather(hold("first"), hold("second"))
    assert order == ["first begins", "first ends", "second begins", "second ends"]
    indexer.log.publish_event({"text": "afterwards"})
    await until(lambda: indexer.progress.indexed_seq == 1)


async def test_it_is_held_while_a_fault_is_waited_out(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is away does not keep the corridor from being held, however long it is waited for."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 1e9)
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF_S", 1e9)
    indexer.chaos.strike_next()
    await until(lambda: indexer.chaos.struck)
    async with indexer.ingest.held():
        assert indexer.feed.settlements == {}


async def test_a_stop_within_a_hold_ends_the_corridor(indexer: FakeIndexer) -> None:
    """Told to stop while it is held, it returns without touching the index again."""
    await until(lambda: indexer.checkpoint.owner_checks)
    async with indexer.ingest.held():
        steps = indexer.chaos.steps
        indexer.ingest.stop()
        await until(indexer._task.done)
        indexer._task.result()
        assert indexer.chaos.steps == steps
    async with indexer.ingest.held():
        assert indexer.chaos.steps == steps


async def test_another_index_is_used_only_while_held(indexer: FakeIndexer) -> None:
    """The corridor goes on into the index that it was given, from the watermark of the moment of its release."""
    indexer.log.publish_event({"text": "first", "id": "a"})
    await until(lambda: indexer.progress.indexed_seq == 1)
    with pytest.raises(RuntimeError, match="paused"):
        indexer.ingest.use(indexer.applier, indexer.checkpoint)
    other = FakeIndexer({}, (), 4)
    other._task.cancel()
    async with indexer.ingest.held():
        other.checkpoint.saved = 1
        indexer.ingest.use(other.applier, other.checkpoint)
    indexer.log.publish_event({"text": "second", "id": "b"})
    await until(lambda: other.checkpoint.saved == 2)
    assert indexer.checkpoint.saved == 1
    assert list(other.store.contents("incidents")[0]) == ["b"]
