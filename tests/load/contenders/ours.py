"""Precedent itself: nats-server, the indexer as it is deployed, and the adapter that a backend uses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.stack import running_stack
from load import asking, texts
from load.results import Curve, Latency
from load.session import Session
from load.turns import Other, OwnClock, in_turns
from precedent_backend_adapter import NotIndexedYet, Precedent, SecurityEvent, Unavailable

_WAIT_S: Final = 5.0
_POLL_S: Final = 0.25
_SEEDS: Final = {"fresh": 11, "repeats": 22, "prefill": 33, "busy": 44, "questions": 55}


@dataclass(frozen=True, slots=True)
class Running:
    """A stack and a client of it."""

    server: NatsServer
    indexer: IndexerProcess
    client: Precedent


@dataclass(frozen=True, slots=True)
class Ingested:
    """A backlog that became searchable: `rate` in events per second, and how far it was when."""

    count: int
    seconds: float
    progress: Curve

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.count / self.seconds


@dataclass(frozen=True, slots=True)
class Asked:
    """Latencies of questions, and the rate of ingest while they were asked under load."""

    idle: Latency
    at_once: Latency
    loaded: Latency
    loaded_rate: float


@contextlib.asynccontextmanager
async def running(session: Session, name: str) -> AsyncIterator[Running]:
    """Everything fresh, for as long as the block runs."""
    async with running_stack(session.room(name)) as stack, Precedent.connect(stack.server.url) as client:
        session.runtime = (await client.stats()).model.runtime
        yield Running(stack.server, stack.indexer, client)


async def publish(client: Precedent, events: Sequence[SecurityEvent]) -> int:
    """Have the log take all; the last sequence.

    Raises:
        RuntimeError: it did not take one of them.
    """
    report = await client.publish_many(events)
    if report.failures or report.last_seq is None:
        raise RuntimeError(f"{len(report.failures)} of {len(events)} events could not be published")
    return report.last_seq


async def covered(client: Precedent, seq: int) -> None:
    """Until a search covers everything up to `seq`."""
    while True:
        try:
            await client.search("anything", k=1, after=seq, wait=_WAIT_S)
        except (NotIndexedYet, Unavailable):
            # Not there yet, or frozen while the other process had its turn.
            continue
        return


async def backlog(
    stack: Running,
    events: Sequence[SecurityEvent],
    label: str,
    begun: asyncio.Event | None = None,
    other: Other | None = None,
) -> Ingested:
    """How long a backlog takes from the moment the indexer may begin until all of it is searchable.

    The indexer runs, and is frozen while the backlog is published; `begun` is set at that moment. Where there is
    another process to compare it with, both go on in turns, and each one's time is its own.
    """
    client, indexer = stack.client, stack.indexer
    before = (await client.stats()).indexed_seq
    indexer.pause()
    try:
        last = await publish(client, events)
    finally:
        indexer.resume()
    clock = OwnClock()
    if begun is not None:
        begun.set()
    points = [(0.0, 0.0)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            indexed = (await client.stats()).indexed_seq - before
            points.append((clock.now(), float(indexed)))

    beside = [asyncio.create_task(watch())]
    if other is not None:
        beside.append(asyncio.create_task(in_turns(indexer, clock, other)))
    try:
        await covered(client, last)
        seconds = clock.now()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    points.append((seconds, float(len(events))))
    curve = Curve(label=f"Precedent, {label}", x=[round(at, 3) for at, _ in points], y=[count for _, count in points])
    return Ingested(len(events), seconds, curve)


async def ingest_fresh(session: Session, other: Other) -> Ingested:
    """A backlog of texts that are all different, in turns with another process."""
    some = texts.distinct_texts(session.sizes.backlog, _SEEDS["fresh"])
    return await _ingest(session, some, "all texts different", other)


async def ingest_repeats(session: Session, other: Other) -> Ingested:
    """A backlog of which every fifth text is a repeat, in turns with another process."""
    some = texts.with_repeats(session.sizes.backlog, 0.2, _SEEDS["repeats"])
    return await _ingest(session, some, "every fifth text a repeat", other)


async def _ingest(session: Session, some: list[str], label: str, other: Other) -> Ingested:
    session.say(f"Precedent: a backlog of {len(some)}, {label}, in turns with the embedder alone")
    async with running(session, "ours-ingest") as stack:
        done = await backlog(stack, list(texts.events(some, "backlog")), label, other=other)
    session.say(f"  {done.rate:.1f} events/s; the embedder alone {other.rate:.1f} texts/s")
    return done


async def asked(session: Session) -> Asked:
    """Questions to an idle indexer, by many at once, and during a backlog."""
    sizes = session.sizes
    session.say(f"Precedent: questions, idle, by {sizes.askers} at once, and during a backlog of {sizes.backlog}")
    async with running(session, "ours-questions") as stack:
        client = stack.client

        async def ask(text: str) -> None:
            await client.search(text, k=asking.K)

        prefill = texts.distinct_texts(sizes.prefilled, _SEEDS["prefill"])
        await covered(client, await publish(client, list(texts.events(prefill, "prefill"))))
        some = texts.questions(_SEEDS["questions"])
        idle = await asking.one_after_another(ask, some, sizes.questions)
        at_once = await asking.at_once(ask, some, sizes.asked_at_once, sizes.askers)
        busy = texts.distinct_texts(sizes.backlog, _SEEDS["busy"])
        begun = asyncio.Event()
        loading = asyncio.create_task(backlog(stack, list(texts.events(busy, "busy")), "while asked", begun))
        begun_or_failed = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait({loading, begun_or_failed}, return_when=asyncio.FIRST_COMPLETED)
            loaded = await asking.while_busy(ask, some, lambda: not loading.done(), sizes.part_s / 2)
            rate = (await loading).rate
        finally:
            loading.cancel()
            begun_or_failed.cancel()
    session.say(f"  p50/p99 idle {idle.p50:.1f}/{idle.p99:.1f} ms, loaded {loaded.p50:.1f}/{loaded.p99:.1f} ms")
    return Asked(idle, at_once, loaded, rate)
