"""Ingest: a backlog until all of it is searchable, against the embedder alone and against the old service."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from harness.child_process import ProcessFailedError
from load import texts
from load.contenders import old, ours
from load.inside_process import INSIDE, running
from load.results import Curve, Latency, PartResult
from load.session import Session
from load.turns import Other

Ingest: TypeAlias = Callable[[Session, Other], Awaitable[ours.Ingested]]

NAME: Final = "ingest"
OF_EMBEDDER_FRESH: Final = 0.80
OF_EMBEDDER_REPEATS: Final = 1.0
OF_OLD_WITH_AMX: Final = 100.0
OF_OLD: Final = 50.0
_QUESTIONS: Final = 100
_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class Alone:
    """The embedder with nothing else running in its turns: texts per second, and its latency for a question."""

    rate: float
    question: Latency


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    distinct, alone_fresh = await session.once("ours.ingest.fresh", fresh)
    repeats, alone_repeats = await _beside_the_embedder(session, ours.ingest_repeats)
    old_service = await session.once("old", old.measured)
    result.figure("fresh.rate", "backlog, all texts different", distinct.rate, "events/s")
    result.figure("repeats.rate", "backlog, every fifth text a repeat", repeats.rate, "events/s")
    result.figure("embedder.fresh", "the embedder alone, in turns with the first", alone_fresh.rate, "texts/s")
    result.figure("embedder.repeats", "the embedder alone, in turns with the second", alone_repeats.rate, "texts/s")
    result.latency("embedder.question", "the embedder alone, one question", alone_repeats.question)
    result.figure("old.rate", "old service, one add for each request", old_service.adds_rate, "events/s")
    result.figure("old.loaded_rate", "old service, eight clients adding", old_service.loaded_adds_rate, "events/s")
    result.ratio(
        "fresh.of_embedder",
        "all texts different, to the embedder alone",
        distinct.rate / alone_fresh.rate,
        OF_EMBEDDER_FRESH,
    )
    result.ratio(
        "repeats.of_embedder",
        "every fifth text a repeat, to the embedder alone",
        repeats.rate / alone_repeats.rate,
        OF_EMBEDDER_REPEATS,
    )
    goal = OF_OLD_WITH_AMX if session.machine.has_amx else OF_OLD
    result.ratio("of_old", "all texts different, to the old service", distinct.rate / old_service.adds_rate, goal)
    result.curve("ingest", distinct.progress)
    result.curve("ingest", repeats.progress)
    for label, rate in (("the embedder alone", alone_fresh.rate), ("old service", old_service.adds_rate)):
        result.curve("ingest", Curve(label=label, x=[0.0, distinct.seconds], y=[0.0, rate * distinct.seconds]))
    return result


async def fresh(session: Session) -> tuple[ours.Ingested, Alone]:
    """Distinct texts, and the embedder alone beside them."""
    return await _beside_the_embedder(session, ours.ingest_fresh)


async def _beside_the_embedder(session: Session, ingest: Ingest) -> tuple[ours.Ingested, Alone]:
    """A backlog in turns with the embedder, which has distinct texts, in batches of the indexer's size."""
    count = session.sizes.backlog
    folder = session.room("embedder")
    given = [folder / name for name in ("texts.json", "questions.json", "done", "answer.json")]
    given[0].write_text(json.dumps(texts.distinct_texts(count, _SEED)), encoding="utf-8")
    questions = list(islice(texts.questions(_SEED), min(_QUESTIONS, session.sizes.questions)))
    given[1].write_text(json.dumps(questions), encoding="utf-8")
    async with running(INSIDE / "embedder_alone.py", given, folder) as process:
        other = Other(process, given[2], count)
        await other.ready()
        ingested = await ingest(session, other)
        rate = other.rate
        other.let_go()
        if await asyncio.to_thread(process.wait, session.sizes.part_s) != 0:
            raise ProcessFailedError(f"the embedder alone failed:\n{process.log_tail()}")
    answer = json.loads(given[3].read_text(encoding="utf-8"))
    return ingested, Alone(rate, Latency(answer["questions"]))
