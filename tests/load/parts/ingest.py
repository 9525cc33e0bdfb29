"""Ingest: a backlog until all of it is searchable, against the embedder alone and against the old service."""

import json
from dataclasses import dataclass
from itertools import islice
from typing import Final

from load import texts
from load.contenders import old, ours
from load.inside_process import INSIDE, run_to_end
from load.results import Curve, Latency, PartResult
from load.session import Session

NAME: Final = "ingest"
OF_EMBEDDER_FRESH: Final = 0.80
OF_EMBEDDER_REPEATS: Final = 1.0
OF_OLD_WITH_AMX: Final = 100.0
OF_OLD: Final = 50.0
_QUESTIONS: Final = 100
_SEED: Final = 11


@dataclass(frozen=True, slots=True)
class Alone:
    """The embedder with nothing else running: texts per second, and its latency for a question."""

    rate: float
    question: Latency


async def measure(session: Session) -> PartResult:
    """Run it."""
    result = PartResult(name=NAME)
    # The same work before and after, since other guests of the machine come and go.
    first = await _embedder_alone(session)
    fresh = await session.once("ours.ingest.fresh", ours.ingest_fresh)
    second = await _embedder_alone(session)
    repeats = await session.once("ours.ingest.repeats", ours.ingest_repeats)
    third = await _embedder_alone(session)
    old_service = await session.once("old", old.measured)
    result.figure("fresh.rate", "backlog, all texts different", fresh.rate, "events/s")
    result.figure("repeats.rate", "backlog, every fifth text a repeat", repeats.rate, "events/s")
    alone_fresh, alone_repeats = (first.rate + second.rate) / 2, (second.rate + third.rate) / 2
    result.figure("embedder.fresh", "the embedder alone, before and after the first", alone_fresh, "texts/s")
    result.figure("embedder.repeats", "the embedder alone, before and after the second", alone_repeats, "texts/s")
    result.latency("embedder.question", "the embedder alone, one question", third.question)
    result.figure("old.rate", "old service, one add for each request", old_service.adds_rate, "events/s")
    result.figure("old.loaded_rate", "old service, eight clients adding", old_service.loaded_adds_rate, "events/s")
    result.ratio(
        "fresh.of_embedder", "all texts different, to the embedder alone", fresh.rate / alone_fresh, OF_EMBEDDER_FRESH
    )
    result.ratio(
        "repeats.of_embedder",
        "every fifth text a repeat, to the embedder alone",
        repeats.rate / alone_repeats,
        OF_EMBEDDER_REPEATS,
    )
    goal = OF_OLD_WITH_AMX if session.machine.has_amx else OF_OLD
    result.ratio("of_old", "all texts different, to the old service", fresh.rate / old_service.adds_rate, goal)
    result.curve("ingest", fresh.progress)
    result.curve("ingest", repeats.progress)
    for label, rate in (("the embedder alone", alone_fresh), ("old service", old_service.adds_rate)):
        result.curve("ingest", Curve(label=label, x=[0.0, fresh.seconds], y=[0.0, rate * fresh.seconds]))
    return result


async def _embedder_alone(session: Session) -> Alone:
    """Distinct texts of a backlog, in batches of the indexer's size, none twice."""
    count = session.sizes.backlog
    folder = session.room("embedder")
    (folder / "texts.json").write_text(json.dumps(texts.distinct_texts(count, _SEED)), encoding="utf-8")
    questions = list(islice(texts.questions(_SEED), min(_QUESTIONS, session.sizes.questions)))
    (folder / "questions.json").write_text(json.dumps(questions), encoding="utf-8")
    session.say(f"the embedder alone: {count} texts")
    answer = await run_to_end(
        INSIDE / "embedder_alone.py", [folder / "texts.json", folder / "questions.json"], folder, session.say
    )
    session.say(f"  {count / answer['seconds']:.1f} texts/s ({answer['runtime']})")
    return Alone(count / answer["seconds"], Latency(answer["questions"]))
