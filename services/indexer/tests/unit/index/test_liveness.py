"""What is said of the write corridor, and what the watchdog does about silence."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from fakes.deliveries import FakeDelivery
from fakes.indexer import FakeIndexer
from fakes.waiting import until
from precedent_indexer.embedding import scheduler
from precedent_indexer.errors import DeadLettersRefused, Stalled, StoreUnavailable
from precedent_indexer.index import liveness
from precedent_indexer.index.liveness import State
from precedent_indexer.ingest import supervisor


@pytest.fixture
async def indexer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes, running."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF_S", 0)
    made = FakeIndexer({}, (), 4)
    yield made
    made._task.cancel()
    await asyncio.wait({made._task})


async def test_progress_is_seen(indexer: FakeIndexer) -> None:
    """While the index advances it is serving, and the moment of the last advance is known."""
    liveness = indexer.ingest.liveness
    assert (liveness.state, liveness.last_progress_at) == (State.SERVING, None)
    indexer.log.publish_event({"text": "x"})
    await until(lambda: liveness.last_progress_at is not None)
    assert (liveness.state, liveness.fault) == (State.SERVING, None)


async def test_an_empty_index_behind_a_log_is_catching_up(indexer: FakeIndexer) -> None:
    """From nothing until it has all that the log had when it began, its state is not that of an index that serves."""
    liveness, seen = indexer.ingest.liveness, set[State]()
    write = indexer.store.write

    def watching(*arguments: object) -> None:
        seen.add(liveness.state)
        write(*arguments)  # type: ignore[arg-type]

    indexer.store.write = watching  # type: ignore[method-assign,assignment]
    for number in range(10):
        indexer.log.publish_event({"text": f"event {number}"})
    await until(lambda: indexer.progress.indexed_seq == 10)
    assert seen == {State.CATCHING_UP}
    await until(lambda: liveness.state is State.SERVING)
    indexer.log.publish_event({"text": "one more"})
    await until(lambda: indexer.progress.indexed_seq == 11)
    assert State.SERVING in seen


async def test_a_fault_is_said_until_it_is_over(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is named in safe words for as long as it fails, however often it is tried; nothing is refused."""
    write, fails = indexer.store.write, True

    def failing(*arguments: object) -> None:
        if fails:
            raise StoreUnavailable("with a secret in it")
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(indexer.store, "write", failing)
    monkeypatch.setattr(indexer.store, "set_identity", failing)
    indexer.log.publish_event({"text": "x"})
    liveness = indexer.ingest.liveness
    await until(lambda: liveness.state is State.UNAVAILABLE)
    for _ in range(200):
        await asyncio.sleep(0)
    assert (liveness.state, liveness.fault) == (State.UNAVAILABLE, StoreUnavailable.says)
    fails = False
    await until(lambda: indexer.progress.indexed_seq == 1)
    assert (liveness.state, liveness.fault) == (State.SERVING, None)
    assert indexer.dead_letters.letters == {}


async def test_full_dead_letters_are_named(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What must be refused and cannot be holds the index back, and it is said why."""

    async def full(*_: object) -> None:
        raise DeadLettersRefused("fake")

    monkeypatch.setattr(indexer.dead_letters, "put", full)
    indexer.log.publish("security.events.v1.incidents.auth", b"{")
    await until(lambda: indexer.ingest.liveness.fault)
    assert "the dead-letter stream" in (indexer.ingest.liveness.fault or "")
    assert indexer.progress.indexed_seq == 0
    monkeypatch.undo()
    await until(lambda: indexer.progress.indexed_seq == 1)
    await until(lambda: indexer.ingest.liveness.fault is None)


async def no_more(_limit: int, _timeout_s: float) -> Sequence[FakeDelivery]:
    """What a consumer gives that delivers nothing, although messages wait."""
    await asyncio.sleep(0)
    return []


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What silence is measured by; the watchdog looks at it all the time."""
    made = Clock()
    monkeypatch.setattr(liveness, "time", made)
    monkeypatch.setattr(supervisor, "_WATCH_EVERY_S", 0)
    return made


async def test_a_consumer_that_delivers_nothing_is_read_past(
    clock: Clock, indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that wait behind a silent consumer are read from the log itself, and the process goes on."""
    monkeypatch.setattr(indexer.feed, "next_batch", no_more)
    indexer.log.publish_event({"text": "x"})
    for _ in range(100):
        await asyncio.sleep(0)
    assert indexer.progress.indexed_seq == 0
    clock.now += 2 * supervisor._SILENCE_S
    await until(lambda: indexer.progress.indexed_seq == 1)
    assert not indexer._task.done()
    assert indexer.ingest.liveness.state is State.SERVING


async def test_silence_that_beginning_anew_does_not_end_ends_the_process(
    clock: Clock, indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that never comes back is noticed: the corridor is begun anew once, then the process ends."""

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(indexer.applier, "commit", never)
    indexer.log.publish_event({"text": "x"})
    for _ in range(100):
        await asyncio.sleep(0)
    clock.now += 2 * supervisor._SILENCE_S
    await until(lambda: indexer.ingest.liveness.state is State.STALLED)
    assert not indexer._task.done()
    for _ in range(100):
        await asyncio.sleep(0)
    clock.now += 2 * supervisor._SILENCE_S
    await until(indexer._task.done)
    with pytest.raises(Stalled, match="stays at 0"):
        indexer._task.result()


async def test_slow_work_that_advances_is_no_stall(
    clock: Clock, indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that takes much longer than the silence allowed is left alone while slice after slice is embedded."""
    embed = indexer.applier._embedding._workers.embed

    async def slow(*call: object) -> object:
        clock.now += 0.7 * supervisor._SILENCE_S
        for _ in range(10):
            await asyncio.sleep(0)
        return await embed(*call)  # type: ignore[arg-type]

    workers = indexer.applier._embedding._workers
    monkeypatch.setattr(workers, "embed", slow)
    monkeypatch.setattr(scheduler, "_SLICE_CHARS", 1)
    monkeypatch.setattr(scheduler, "_SLICE_CHARS_ASKED", 1)
    for number in range(4):
        indexer.log.publish_event({"text": f"a long text {number}"})
    await until(lambda: indexer.progress.indexed_seq == 4)
    assert clock.now > 2 * supervisor._SILENCE_S
    assert indexer.ingest.liveness.stalls == 0
    assert indexer.ingest.liveness.last_progress_at is not None


async def test_an_idle_log_is_no_stall(clock: Clock, indexer: FakeIndexer) -> None:
    """Where nothing is published, nothing is begun anew, however long it lasts."""
    for _ in range(10):
        clock.now += supervisor._SILENCE_S / 2
        await until(lambda: indexer.ingest.liveness.silence_s() == 0)
    assert indexer.ingest.liveness.stalls == 0
