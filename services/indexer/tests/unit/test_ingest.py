"""What the write corridor does besides: words to the server, the owner of the consumer, saving, and a soft stop."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fakes.indexer import FakeIndexer
from precedent_indexer import ingest
from precedent_indexer.errors import StartRefused
from precedent_schemas.events import Deletion


async def until(condition: Callable[[], object]) -> None:
    """Let the event loop turn until something holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("never came about")


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes, running."""
    monkeypatch.setattr(ingest, "_FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(ingest, "_TOUCH_EVERY_S", 0)
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


async def test_a_consumer_taken_over_by_another_ends_the_process(indexer: FakeIndexer) -> None:
    """The corridor does not go on beside another writer: it ends and says why."""
    await until(lambda: indexer.books.owner_checks)
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
    assert indexer.feed.unsettled == {}
    assert indexer.books.saved == indexer.progress.indexed_seq == taken


async def test_long_texts_make_smaller_batches(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is closed once its payload is large, although it could hold more messages."""
    monkeypatch.setattr(ingest, "_BATCH_BYTES", 1000)
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
    assert indexer.books.saved >= seq
