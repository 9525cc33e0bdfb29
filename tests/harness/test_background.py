"""Work beside a test ends with its block, and fails it where it failed."""

import asyncio
from collections.abc import Coroutine, Iterable

import pytest

from harness.background import Background


class Steps(Background):
    """Takes steps of two halves until the block ends; `failing` fails at the first."""

    def __init__(self, *, failing: bool = False) -> None:
        super().__init__()
        self.begun = asyncio.Event()
        self.halves = 0
        self.is_cancelled = False
        self._failing = failing

    def _works(self) -> Iterable[Coroutine[object, object, None]]:
        return [self._step(), self._fail()] if self._failing else [self._step()]

    async def _step(self) -> None:
        try:
            while not self._stopping.is_set():
                self.halves += 1
                self.begun.set()
                await asyncio.sleep(0.001)
                self.halves += 1
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise

    async def _fail(self) -> None:
        raise ValueError("what failed")


async def test_it_ends_with_the_block_and_finishes_its_step() -> None:
    """No step is left half done, and none is begun after the block."""
    async with Steps() as steps:
        await steps.begun.wait()
    assert not steps.is_cancelled
    done = steps.halves
    assert done % 2 == 0
    await asyncio.sleep(0.01)
    assert steps.halves == done


async def test_it_is_cancelled_where_the_block_fails() -> None:
    """The error of the block is what comes out."""
    steps = Steps()

    async def block() -> None:
        async with steps:
            await steps.begun.wait()
            raise KeyError("the block")

    with pytest.raises(KeyError, match="the block"):
        await block()
    assert steps.is_cancelled


async def test_its_failure_is_raised_at_the_end() -> None:
    """Whoever else works ends first."""
    steps = Steps(failing=True)
    with pytest.raises(ValueError, match="what failed"):
        async with steps:
            await steps.begun.wait()
    assert steps.halves % 2 == 0
