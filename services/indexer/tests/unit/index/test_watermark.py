"""Who waits for the index to cover more of the log, and what is remembered of what was refused."""

import asyncio

import pytest

from precedent_indexer.domain.messages import Refusal
from precedent_indexer.index import watermark as module
from precedent_indexer.index.watermark import Progress
from precedent_schemas.failures import DeadReason

NO = Refusal(DeadReason.INVALID, "no")


async def test_the_watermark_never_falls() -> None:
    """An advance to where it is already, or behind, changes nothing."""
    progress = Progress(5)
    progress.advance(3)
    assert progress.indexed_seq == 5
    progress.advance(8)
    assert progress.indexed_seq == 8


async def test_what_is_covered_is_not_waited_for() -> None:
    """A sequence that is covered is reached with no time to wait; one that is not, is not."""
    progress = Progress(5)
    assert await progress.reach(5, 0)
    assert not await progress.reach(6, 0)
    assert not await progress.reach(6, 0.001)


async def test_waiters_are_woken_each_at_its_own_sequence() -> None:
    """Steps that are too small wake nobody for good; a step over several sequences wakes all below it."""
    progress = Progress(0)
    waiters = {seq: asyncio.create_task(progress.reach(seq, 60)) for seq in (1, 3, 5, 9)}
    for advance, done in [(1, {1}), (2, {1}), (5, {1, 3, 5}), (100, {1, 3, 5, 9})]:
        await asyncio.sleep(0)
        progress.advance(advance)
        for _ in range(5):
            await asyncio.sleep(0)
        assert {seq for seq, task in waiters.items() if task.done()} == done
    assert all(await asyncio.gather(*waiters.values()))


async def test_refusals_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest refusals are kept, the oldest forgotten, so that memory is bounded."""
    monkeypatch.setattr(module, "_REMEMBERED_REFUSALS", 3)
    progress = Progress(0)
    for seq in range(1, 6):
        progress.refuse(seq, NO)
    assert [seq for seq in range(1, 8) if progress.refusal(seq) == NO] == [3, 4, 5]


async def test_waiters_are_let_go_when_the_process_ends() -> None:
    """Who waits for a sequence is told at once that it was not reached."""
    progress = Progress(1)
    waiting = asyncio.create_task(progress.reach(5, 3600))
    await asyncio.sleep(0)
    progress.let_go()
    assert await waiting is False
    assert await progress.reach(1, 0) is True


def test_a_forgotten_refusal_is_no_more() -> None:
    """A dead letter that was dropped refuses nobody."""
    progress = Progress(1)
    progress.refuse(1, Refusal(DeadReason.INVALID, "x"))
    progress.forget(1)
    assert progress.refusal(1) is None


async def test_who_waits_for_events_to_be_embedded_goes_on_before_they_are_stored() -> None:
    """Once they are prepared, or applied by whatever other way."""
    progress = Progress(3)
    await progress.embedded(3)
    waiting = [asyncio.ensure_future(progress.embedded(seq)) for seq in (4, 5, 6)]
    await asyncio.sleep(0)
    progress.prepare(4)
    progress.prepare(2)
    await asyncio.sleep(0)
    assert [one.done() for one in waiting] == [True, False, False]
    assert progress.indexed_seq == 3
    progress.advance(6)
    await asyncio.gather(*waiting)
