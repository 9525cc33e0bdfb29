"""How much is measured: the full run, the quick one that only shows that everything works, and one million."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Sizes:
    """Counts and bounds of a run.

    Attributes:
        backlog: events of one ingest.
        prefilled: events in an index before it is asked questions.
        questions: asked of an idle service, one after another.
        askers: how many ask at once.
        asked_at_once: questions of all of them together.
        old_adds: events added to the old service, one after another.
        old_questions: asked of it idle.
        old_loaded_s: seconds of questions while others add to it.
        fresh_idle: events published one at a time, each searched for.
        fresh_rate: events per second that arrive beside the next ones.
        fresh_arriving: events searched for meanwhile.
        scale: sizes of the index.
        scale_questions: asked with each filter at each size.
        scale_ingest: real events ingested at each size.
        published: events published with one call each, and with one call for all.
        part_s: seconds after which a part is given up.
    """

    name: str
    backlog: int
    prefilled: int
    questions: int
    askers: int
    asked_at_once: int
    old_adds: int
    old_questions: int
    old_loaded_s: float
    fresh_idle: int
    fresh_rate: float
    fresh_arriving: int
    scale: tuple[int, ...]
    scale_questions: int
    scale_ingest: int
    published: tuple[int, int]
    part_s: float


FULL: Final = Sizes(
    name="full",
    backlog=5_000,
    prefilled=1_000,
    questions=500,
    askers=16,
    asked_at_once=1_600,
    old_adds=80,
    old_questions=60,
    old_loaded_s=120.0,
    fresh_idle=200,
    fresh_rate=50.0,
    fresh_arriving=200,
    scale=(1_000, 10_000, 100_000),
    scale_questions=200,
    scale_ingest=500,
    published=(2_000, 20_000),
    part_s=1_200.0,
)
QUICK: Final = Sizes(
    name="quick",
    backlog=60,
    prefilled=20,
    questions=10,
    askers=4,
    asked_at_once=8,
    old_adds=3,
    old_questions=3,
    old_loaded_s=1.0,
    fresh_idle=4,
    fresh_rate=20.0,
    fresh_arriving=4,
    scale=(100,),
    scale_questions=4,
    scale_ingest=10,
    published=(50, 200),
    part_s=240.0,
)


def scale_of(size: int) -> Sizes:
    """The full run with one size of index: what `make bench-million` asks for."""
    settings = {name: getattr(FULL, name) for name in FULL.__slots__}
    return Sizes(**settings | {"name": f"scale {size}", "scale": (size,), "part_s": 6 * 3_600.0})
