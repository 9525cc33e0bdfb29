"""Scale: questions, memory, disk and start of an index of one thousand, ten thousand and more events."""

import asyncio
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from load import asking, texts
from load.contenders import ours
from load.inside_process import INSIDE, run_to_end
from load.machine import disk_bytes, resident_mib
from load.results import Curve, Latency, PartResult
from load.session import Session
from precedent_backend_adapter import Filter, Precedent, SecurityEvent, TimeRange, Unavailable

NAME: Final = "scale"
HALF_OF_PLAIN: Final = 3.0
FILTERS: Final[dict[str, tuple[str, Filter | None]]] = {
    "plain": ("no filter", None),
    "half": ("50% filter", Filter(sources=[texts.SOURCES[0]])),
    "percent": ("1% filter", Filter(users=["user-007"])),
    "tenth": (
        "10% time range",
        Filter(occurred_at=TimeRange(after=texts.FIRST + 0.45 * texts.SPAN, before=texts.FIRST + 0.55 * texts.SPAN)),
    ),
}
_ANCHORS: Final = 400
_WARM_UP: Final = 10
_FIRST_ANSWER_S: Final = 300.0
_PUBLISH_PART: Final = 20_000
_SEEDS: Final = {"events": 111, "anchors": 122, "questions": 133, "real": 144}


@dataclass(frozen=True, slots=True)
class _Measured:
    """Of one size."""

    fill_rate: float
    ingest_rate: float
    start_s: float
    resident_mib: float
    disk_bytes: float
    log_bytes: float
    latencies: dict[str, Latency]


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    by_size = {size: await _one_size(session, size) for size in session.sizes.scale}
    for size, found in by_size.items():
        for key, taken in found.latencies.items():
            result.latency(f"{size}.{key}", f"{size:,} events, {FILTERS[key][0]}", taken)
        result.figure(f"{size}.fill", f"{size:,} events, filled without the model", found.fill_rate, "events/s")
        result.figure(f"{size}.ingest", f"at {size:,} events, a real backlog", found.ingest_rate, "events/s")
        result.figure(f"{size}.start", f"{size:,} events, start to first answer", found.start_s, "s")
        result.figure(f"{size}.resident", f"{size:,} events, resident memory", found.resident_mib, "MiB")
        result.figure(f"{size}.disk", f"{size:,} events, index on disk", found.disk_bytes / size, "bytes/event")
        result.figure(f"{size}.log", f"{size:,} events, log on disk", found.log_bytes / size, "bytes/event")
    largest = max(by_size)
    top = by_size[largest].latencies
    for key, (what, _) in FILTERS.items():
        if key == "plain":
            continue
        goal = HALF_OF_PLAIN if key == "half" else None
        result.ratio(
            f"{key}.p50",
            f"{what} to no filter at {largest:,}, p50",
            top[key].p50 / top["plain"].p50,
            goal,
            at_least=False,
        )
        result.ratio(
            f"{key}.p99", f"{what} to no filter at {largest:,}, p99", top[key].p99 / top["plain"].p99, at_least=False
        )
    sizes = [float(size) for size in by_size]
    for key, (what, _) in FILTERS.items():
        p50 = [found.latencies[key].p50 for found in by_size.values()]
        p99 = [found.latencies[key].p99 for found in by_size.values()]
        result.curve("scale-latency", Curve(label=f"{what}, p50", x=sizes, y=p50))
        result.curve("scale-latency", Curve(label=f"{what}, p99", x=sizes, y=p99))
    resident = [found.resident_mib for found in by_size.values()]
    disk = [found.disk_bytes / 2**20 for found in by_size.values()]
    result.curve("scale-space", Curve(label="resident memory", x=sizes, y=resident))
    result.curve("scale-space", Curve(label="index on disk", x=sizes, y=disk))
    fill = [found.fill_rate for found in by_size.values()]
    ingest = [found.ingest_rate for found in by_size.values()]
    result.curve("scale-rate", Curve(label="filled without the model", x=sizes, y=fill))
    result.curve("scale-rate", Curve(label="a real backlog at that size", x=sizes, y=ingest))
    return result


async def _one_size(session: Session, size: int) -> _Measured:
    session.say(f"scale: {size:,} events into the log")
    room = session.room(f"scale-{size}")
    (room / "anchors.json").write_text(json.dumps(texts.distinct_texts(_ANCHORS, _SEEDS["anchors"])), encoding="utf-8")
    with NatsServer(room / "jetstream") as server:
        run_indexer_command(["init"], {"NATS_URL": server.url})
        async with Precedent.connect(server.url) as client:
            events = texts.events(texts.distinct_texts(size, _SEEDS["events"]), "scale")
            while part := list(islice(events, _PUBLISH_PART)):
                last = await ours.publish(client, part)
                session.say(f"  {last:,} published")
            session.say(f"scale: {size:,} events from the log into the index, with synthetic vectors")
            env = {"NATS_URL": server.url, "PRECEDENT_CHROMA_PATH": str(room / "chroma")}
            filled = await run_to_end(INSIDE / "fill_index.py", [room / "anchors.json"], room, session.say, env)
            if filled["count"] != size:
                raise RuntimeError(f"the log of {size} events gave {filled['count']}")
            log_bytes = disk_bytes(room / "jetstream")
            session.say(f"  {size / filled['seconds']:.0f} events/s; now the indexer on it")
            found = await _serve(session, server, client, room, size / filled["seconds"], log_bytes)
    shutil.rmtree(room)
    return found


async def _serve(
    session: Session, server: NatsServer, client: Precedent, room: Path, fill_rate: float, log_bytes: float
) -> _Measured:
    """The real indexer on the filled directory."""
    indexer = IndexerProcess(server.url, room / "chroma", log_path=room / "indexer.log", ready_timeout=_FIRST_ANSWER_S)
    began = time.perf_counter()
    async with indexer:
        await _first_answer(client)
        start_s = time.perf_counter() - began
        session.runtime = (await client.stats()).model.runtime
        latencies: dict[str, Latency] = {}
        questions = texts.questions(_SEEDS["questions"])
        for key, (what, wanted) in FILTERS.items():
            latencies[key] = await _asked(client, wanted, questions, session.sizes.scale_questions)
            session.say(f"  {what}: p50/p99 {latencies[key].p50:.1f}/{latencies[key].p99:.1f} ms")
        resident = resident_mib(indexer.pid)
        disk = disk_bytes(room / "chroma")
        real = texts.distinct_texts(session.sizes.scale_ingest, _SEEDS["real"])
        stack = ours.Running(server, indexer, client)
        ingested = await ours.backlog(stack, list(_real(real)), "at size")
        session.say(f"  start {start_s:.1f} s, {resident:.0f} MiB resident, ingest {ingested.rate:.0f} events/s")
    return _Measured(fill_rate, ingested.rate, start_s, resident, disk, log_bytes, latencies)


def _real(some: list[str]) -> Iterator[SecurityEvent]:
    # Other ids than those that are there.
    return texts.events(some, "real")


async def _asked(client: Precedent, wanted: Filter | None, questions: Iterator[str], count: int) -> Latency:
    async def ask(text: str) -> None:
        await client.search(text, k=asking.K, filter=wanted)

    await asking.one_after_another(ask, questions, _WARM_UP)
    return await asking.one_after_another(ask, questions, count)


async def _first_answer(client: Precedent) -> None:
    async with asyncio.timeout(_FIRST_ANSWER_S):
        while True:
            try:
                await client.search("the first question", k=1)
            except Unavailable:
                await asyncio.sleep(0.02)
                continue
            return
