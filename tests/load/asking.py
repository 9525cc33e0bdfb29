"""Asking questions and timing the answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Final

from load.results import Latency

Ask = Callable[[str], Awaitable[object]]
"""Asks one question and returns when the answer is there."""

K: Final = 10
"""Hits asked for, of everybody."""
PAUSE_S: Final = 0.05
"""Between two questions of an asker under load: somebody who reads, not one who floods."""


async def one_after_another(ask: Ask, questions: Iterator[str], count: int) -> Latency:
    """The next `count` questions."""
    return Latency(await _durations(ask, islice(questions, count)))


async def at_once(ask: Ask, questions: Iterator[str], count: int, askers: int) -> Latency:
    """The next `count` questions, by `askers` that each wait for an answer before their next question."""
    some = islice(questions, count)
    # All draw from one iterator: whoever has an answer takes the next question.
    parts = await asyncio.gather(*(_durations(ask, some) for _ in range(askers)))
    return Latency(list(chain.from_iterable(parts)))


async def while_busy(ask: Ask, questions: Iterator[str], is_busy: Callable[[], bool], limit_s: float) -> Latency:
    """Question upon question with a short pause, for as long as the service is busy; at least one."""
    durations: list[float] = []
    deadline = time.monotonic() + limit_s
    while True:
        durations += await _durations(ask, islice(questions, 1))
        if not is_busy() or time.monotonic() > deadline:
            return Latency(durations)
        await asyncio.sleep(PAUSE_S)


async def _durations(ask: Ask, questions: Iterable[str]) -> list[float]:
    durations: list[float] = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        durations.append(time.perf_counter() - began)
    return durations
