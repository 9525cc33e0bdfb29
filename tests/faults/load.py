"""Continuous mixed work of several publishers, for as long as things break."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from faults.publishing import Publisher
from harness.background import Background

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from faults.ledger import Ledger
    from harness.wire import Wire

_VERDICTS: Final = ("true_positive", "false_positive", "benign", "unknown")
_DEEDS: Final = {"event": 70, "anonymous": 5, "revise": 10, "decide": 10, "delete": 4, "poison": 1}
"""How often each is done among the others."""
_POISONS: Final = ((b"not json", "malformed"), (b'{"text": ""}', "invalid"), (b'{"severity": 3}', "invalid"))


async def _no_limit() -> None:
    """For a load that publishes whether the index follows or not."""


class Load(Background):
    """Publishes, revises, decides and deletes for as long as the block runs.

    Every worker has ids of its own, and does one thing at a time: what is acknowledged of one id has one order. A
    deletion needs an indexer that answers, so one must be running, or start, before the block can end.

    Args:
        wire: the connection of all workers.
        ledger: receives what is acknowledged.
        seed: of what they do.
        per_second: deeds of all workers together, at most.
        workers: how many.
        deletes: whether they also delete, and wait for the answer; else they wait for the server alone.
        patience: seconds for one acknowledgement or answer.
        room: returns when more may be published; by default at any time, however far the index is behind.
    """

    def __init__(
        self,
        wire: Wire,
        ledger: Ledger,
        seed: int,
        *,
        per_second: float = 200.0,
        workers: int = 4,
        deletes: bool = True,
        patience: float = 90.0,
        room: Callable[[], Awaitable[None]] = _no_limit,
    ) -> None:
        super().__init__()
        self._wire = wire
        self._ledger = ledger
        self._seed = seed
        self._pause_s = workers / per_second
        self._workers = workers
        self._deeds = {deed: share for deed, share in _DEEDS.items() if deletes or deed != "delete"}
        self._patience = patience
        self._room = room
        self._in_hand: dict[int, tuple[str, float]] = {}

    def in_hand(self) -> list[str]:
        """What each worker is at, and for how long."""
        now = time.monotonic()
        return [f"{what} for {now - since:.0f} s" for what, since in self._in_hand.values()]

    def _works(self) -> Iterable[Coroutine[object, object, None]]:
        return [self._work(1000 * self._seed + number) for number in range(self._workers)]

    async def _work(self, seed: int) -> None:
        dice = random.Random(seed)
        publisher = Publisher(self._wire, self._ledger, seed=seed, patience=self._patience)
        ids: list[str] = []
        due = time.monotonic()
        while not self._stopping.is_set():
            (deed,) = dice.choices(list(self._deeds), list(self._deeds.values()))
            self._in_hand[seed] = (deed, time.monotonic())
            await _do(deed, publisher, dice, ids)
            del self._in_hand[seed]
            # A worker that was held up does not catch up all at once.
            due = max(due + self._pause_s, time.monotonic() - self._pause_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._room()


async def _do(deed: str, publisher: Publisher, dice: random.Random, ids: list[str]) -> None:
    if deed == "poison":
        await publisher.poison(*dice.choice(_POISONS))
    elif deed == "anonymous":
        ids.append(await publisher.anonymous())
    elif deed == "event" or not ids:
        ids.append(await publisher.event())
    elif deed == "decide":
        await publisher.decide(dice.choice(ids), dice.choice(_VERDICTS))
    elif deed == "revise":
        given = [one for one in ids[-50:] if not one.startswith("seq-")]
        await publisher.event(dice.choice(given) if given else None)
    else:
        await publisher.delete([ids.pop(dice.randrange(len(ids)))])
