"""What a run of the benchmark leaves: figures, what they are compared with, and curves, as one JSON document."""

import statistics
from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]

MS = 1_000.0
_PERCENT = 100


class Record(BaseModel):
    """Base of everything in the document; not-a-number and infinities are refused."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Figure(Record):
    """One measured number.

    Attributes:
        key: unique in the run, such as `ingest.fresh.rate`.
        what: for people.
    """

    key: str
    what: str
    value: Number
    unit: str


class Comparison(Record):
    """A figure over its reference, or beside a bound, with the goal where there is one.

    Attributes:
        value: the ratio; the figure itself where it is compared with a bound.
        goal: None where nothing is asked for.
        at_least: whether more is better.
    """

    key: str
    what: str
    value: Number
    unit: str = "x"
    goal: Number | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


class Curve(Record):
    """Points of one line of a picture."""

    label: str
    x: list[Number]
    y: list[Number]


class PartResult(Record):
    """What one part of the benchmark measured.

    Attributes:
        curves: by picture.
        failure: why it ended early; nothing else of it then counts.
    """

    name: str
    seconds: Number = 0.0
    figures: list[Figure] = []
    comparisons: list[Comparison] = []
    curves: dict[str, list[Curve]] = {}
    failure: str | None = None

    def figure(self, key: str, what: str, value: float, unit: str) -> float:
        """Note a figure; the value."""
        self.figures.append(Figure(key=f"{self.name}.{key}", what=what, value=value, unit=unit))
        return value

    def latency(self, key: str, what: str, taken: "Latency") -> None:
        """Note p50 and p99, in milliseconds."""
        self.figure(f"{key}.p50", f"{what}, p50", taken.p50, "ms")
        self.figure(f"{key}.p99", f"{what}, p99 of {taken.count}", taken.p99, "ms")

    def ratio(self, key: str, what: str, value: float, goal: float | None = None, *, at_least: bool = True) -> None:
        """Note a ratio."""
        self.comparisons.append(
            Comparison(key=f"{self.name}.{key}", what=what, value=value, goal=goal, at_least=at_least)
        )

    def bound(self, key: str, what: str, value: float, unit: str, goal: float) -> None:
        """Note a figure that must not be above a bound."""
        self.comparisons.append(
            Comparison(key=f"{self.name}.{key}", what=what, value=value, unit=unit, goal=goal, at_least=False)
        )

    def curve(self, picture: str, curve: Curve) -> None:
        """Add a line to a picture."""
        self.curves.setdefault(picture, []).append(curve)


class Machine(Record):
    """Where it was measured.

    Attributes:
        flags: of the CPU, those that matter to a model.
        load_before: load average of the last minute before the run; near 0 on a quiet machine.
        versions: of what was measured, by name.
    """

    cpu: str
    cores: int
    flags: list[str]
    memory_gib: Number
    kernel: str
    python: str
    load_before: Number
    versions: dict[str, str]

    @property
    def has_amx(self) -> bool:
        """Whether it multiplies bf16 matrices in hardware."""
        return "amx_bf16" in self.flags


class Results(Record):
    """The whole document."""

    measured_at: str
    sizes: str
    machine: Machine
    parts: list[PartResult]
    runtime: str = ""
    steal_percent: Number = 0.0


class Latency:
    """Durations of one kind of question, in seconds, as percentiles in milliseconds."""

    def __init__(self, seconds: Sequence[float]) -> None:
        if not seconds:
            raise ValueError("no question was answered while it was measured: there is no latency to speak of")
        self._sorted = sorted(one * MS for one in seconds)

    @property
    def count(self) -> int:
        """How many."""
        return len(self._sorted)

    @property
    def p50(self) -> float:
        """The median."""
        return statistics.median(self._sorted)

    @property
    def p99(self) -> float:
        """All but one in a hundred were at least as fast; the slowest, where there are fewer than a hundred."""
        return self.at(99)

    def at(self, percent: int) -> float:
        """A percentile, by the nearest rank."""
        rank = -(-len(self._sorted) * percent // _PERCENT)
        return self._sorted[max(rank, 1) - 1]

    def curve(self, label: str) -> Curve:
        """Share of the questions over their duration."""
        percents = range(1, _PERCENT + 1)
        return Curve(label=label, x=[round(self.at(one), 3) for one in percents], y=[float(one) for one in percents])
