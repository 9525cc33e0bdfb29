"""Freshness: from the acknowledgement of a publish until the event is found by a search."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Sequence
from typing import Final

from load import asking, texts
from load.contenders import ours
from load.results import Latency, PartResult
from load.session import Session
from precedent_backend_adapter import Precedent, SecurityEvent

NAME: Final = "freshness"
IDLE_MS: Final = 25.0
_WAIT_S: Final = 20.0
_PAUSE_S: Final = (0.03, 0.12)
_SEEDS: Final = {"prefill": 33, "probes": 66, "stream": 88}


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    sizes = session.sizes
    session.say(f"freshness: {sizes.fresh_idle} events on an idle bus, then beside {sizes.fresh_rate:g} events/s")
    probes = texts.distinct_texts(sizes.fresh_idle + sizes.fresh_arriving, _SEEDS["probes"])
    events = list(texts.events(probes, "probe"))
    async with ours.running(session, "freshness") as stack:
        client = stack.client
        prefill = texts.distinct_texts(sizes.prefilled, _SEEDS["prefill"])
        await ours.covered(client, await ours.publish(client, list(texts.events(prefill, "prefill"))))
        idle, found_idle = await _found_after(client, events[: sizes.fresh_idle])
        stream = asyncio.create_task(_arriving(client, sizes.fresh_rate))
        try:
            arriving, found_arriving = await _found_after(client, events[sizes.fresh_idle :])
            if stream.done():
                await stream
        finally:
            stream.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await stream
    what = f"beside {sizes.fresh_rate:g} events/s"
    result.latency("idle", "published to found, idle bus", idle)
    result.latency("arriving", f"published to found, {what}", arriving)
    share = 100 * (found_idle + found_arriving) / len(events)
    result.figure("found", "of these, in the ten best hits of the answer", share, "percent")
    result.bound("idle.p50", "published to found, idle bus, p50", idle.p50, "ms", IDLE_MS)
    result.curve("freshness", idle.curve("idle bus"))
    result.curve("freshness", arriving.curve(what))
    session.say(f"  idle p50/p99 {idle.p50:.1f}/{idle.p99:.1f} ms, {what} {arriving.p50:.1f}/{arriving.p99:.1f} ms")
    return result


async def _found_after(client: Precedent, events: Sequence[SecurityEvent]) -> tuple[Latency, int]:
    """One event after another, each searched for once it is acknowledged; how long, and how many were in the answer."""
    draw = random.Random(0)
    durations = []
    found = 0
    for event in events:
        # Uneven, so that no rhythm of the indexer's own is hit or missed each time.
        await asyncio.sleep(draw.uniform(*_PAUSE_S))
        receipt = await client.publish(event)
        acknowledged = time.perf_counter()
        # Not the very text of the event, whose vector the indexer remembers.
        question = f"Have we seen this before? {event.text}"
        answer = await client.search(question, k=asking.K, after=receipt, wait=_WAIT_S)
        durations.append(time.perf_counter() - acknowledged)
        found += event.id in {hit.event.id for hit in answer.hits}
    return Latency(durations), found


async def _arriving(client: Precedent, rate: float) -> None:
    """Publish at a steady rate until cancelled."""
    began = time.monotonic()
    for block in itertools.count():
        for number, event in enumerate(
            texts.events(texts.distinct_texts(1_000, _SEEDS["stream"] + block), f"s{block}")
        ):
            due = began + (block * 1_000 + number) / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await client.publish(event)
