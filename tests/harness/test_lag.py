"""A load waits for the index, and an index that no longer moves is noticed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from harness.lag import Lag, StandstillError
from harness.waits import eventually
from harness.wire import AnsweredWithError

AHEAD = 10
LONG_S = 60.0


class Index:
    """Says how far it is, where it says anything."""

    def __init__(self) -> None:
        self.indexed_seq = 0
        self.last_seq = 0
        self.answers = True
        self.asked = 0

    async def stats(self) -> dict[str, Any]:
        """How far it is."""
        self.asked += 1
        if not self.answers:
            raise AnsweredWithError("unavailable")
        return {"indexed_seq": self.indexed_seq}

    async def asked_again(self) -> None:
        """Wait until it was asked twice more: what was said the first time has been thought about."""
        until = self.asked + 2

        def asked() -> None:
            assert self.asked >= until

        await eventually(asked, timeout=LONG_S, interval=0.001)

    def lag(self, patience: float = LONG_S) -> Lag:
        """How far it is behind."""
        return Lag(self.stats, lambda: self.last_seq, ahead=AHEAD, patience=patience, interval=0)


@asynccontextmanager
async def watched(lag: Lag) -> AsyncIterator[None]:
    """While it is watched; its error, if any, at the end."""
    watching = asyncio.create_task(lag.watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    assert watching.cancelled()


async def test_who_is_too_far_ahead_waits_until_the_index_has_caught_up() -> None:
    """There is room up to the bound; beyond it there is none, also while nobody answers, until the index moves."""
    index = Index()
    lag = index.lag()
    async with watched(lag):
        index.last_seq = AHEAD
        await lag.room()
        index.last_seq = AHEAD + 1
        waiting = asyncio.create_task(lag.room())
        await index.asked_again()
        index.answers = False
        await index.asked_again()
        assert not waiting.done()
        index.answers, index.indexed_seq = True, 1
        async with asyncio.timeout(LONG_S):
            await waiting
    assert lag.behind == AHEAD
    assert lag.longest_s > 0


@pytest.mark.parametrize("answers", [True, False])
async def test_an_index_that_stands_still_is_noticed(answers: bool) -> None:
    """Whether it answers or not; the error says where it stands."""
    index = Index()
    index.last_seq = 7
    index.answers = answers
    with pytest.raises(StandstillError, match="at 0, 7 behind"):
        await index.lag(patience=0).watch()


async def test_an_index_that_has_nothing_to_do_does_not_stand_still() -> None:
    """However long nothing is published."""
    index = Index()
    async with watched(index.lag(patience=0)):
        await index.asked_again()
