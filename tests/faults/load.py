"""Continuous mixed work of several publishers, for as long as things break."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final, Self

from faults.publishing import Publisher

if TYPE_CHECKING:
    from types import TracebackType

    from faults.ledger import Ledger
    from harness.wire import Wire

_VERDICTS: Final = ("true_positive", "false_positive", "benign", "unknown")
_DEEDS: Final = {"event": 70, "anonymous": 5, "revise": 10, "decide": 10, "delete": 4, "poison": 1}
"""How often each is done among the others."""
_POISONS: Final = ((b"not json", "malformed"), (b'{"text": ""}', "invalid"), (b'{"severity": 3}', "invalid"))


class Load:
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
    ) -> None:
        self._wire = wire
        self._ledger = ledger
        self._seed = seed
        self._pause_s = workers / per_second
        self._workers = workers
        self._deeds = {deed: share for deed, share in _DEEDS.items() if deletes or deed != "delete"}
        self._patience = patience
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._work(1000 * self._seed + number)) for number in range(self._workers)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if error is not None:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        else:
            await asyncio.gather(*self._tasks)

    async def _work(self, seed: int) -> None:
        dice = random.Random(seed)
        publisher = Publisher(self._wire, self._ledger, seed=seed, patience=self._patience)
        ids: list[str] = []
        due = time.monotonic()
        while not self._stopping.is_set():
            (deed,) = dice.choices(list(self._deeds), list(self._deeds.values()))
            await _do(deed, publisher, dice, ids)
            # A worker that was held up does not catch up all at once.
            due = max(due + self._pause_s, time.monotonic() - self._pause_s)
            await asyncio.sleep(max(0.0, due - time.monotonic()))


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
