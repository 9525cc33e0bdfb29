"""Writes the sizes of `docs/scale.md` from the results of a run: `python -m load.sizing`."""

import argparse
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from load.bench import RESULTS
from load.results import Machine, Results
from load.show import number

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "scale.md"
PART: Final = re.compile(r"(<!-- generated: sizing -->\n).*?(<!-- end -->)", re.DOTALL)
PER_DAY: Final = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
STORED: Final = (1_000_000, 10_000_000, 100_000_000)
REPLICAS: Final = 3
_DAY_S: Final = 86_400
_GB: Final = 1e9
_MIB: Final = 2**20
_HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True)
class Costs:
    """What one event costs.

    Attributes:
        stored: events in the largest index that was measured.
        cores: of the machine that was measured.
        event: seconds of a core until an event, its text unlike all others, is searchable: everything on the machine.
        text: seconds of a core that the model takes of that.
        written_per_s: events that one index takes in a second where nothing is to be embedded.
        index_bytes: on disk, for each event in the index.
        memory_bytes: for each event in the index, beside `base_bytes`.
        base_bytes: of memory for an index of nothing.
        log_bytes: on disk, for each event in the log, once, before it is compressed.
        start: seconds from start to answer that each event in the index adds.
    """

    stored: int
    cores: int
    event: float
    text: float
    written_per_s: float
    index_bytes: float
    memory_bytes: float
    base_bytes: float
    log_bytes: float
    start: float

    @classmethod
    def of(cls, results: Results) -> Self:
        """From a run with the parts `ingest` and `scale`.

        Raises:
            KeyError: it lacks a figure; its key.
        """
        figures = {figure.key: figure.value for part in results.parts for figure in part.figures}
        sizes = sorted(int(key.split(".")[1]) for key in figures if key.startswith("scale.") and key.endswith(".disk"))
        if not sizes:
            raise KeyError("scale")
        # Fixed costs weigh on small indexes: the largest is nearest to what is to be sized.
        most, fewer = sizes[-1], sizes[-2:][0]
        return cls(
            stored=most,
            cores=results.machine.cores,
            event=results.machine.cores / figures["ingest.fresh.rate"],
            text=results.machine.cores / figures["ingest.embedder.fresh"],
            written_per_s=figures[f"scale.{most}.fill"],
            index_bytes=figures[f"scale.{most}.disk"],
            memory_bytes=_slope(figures, "resident", fewer, most) * _MIB,
            base_bytes=figures[f"scale.{sizes[0]}.resident"] * _MIB,
            # Made-up texts are more alike than real ones, and a small log is not compressed yet.
            log_bytes=figures[f"scale.{sizes[0]}.log"],
            start=_slope(figures, "start", fewer, most),
        )


def _slope(figures: Mapping[str, float], what: str, fewer: int, most: int) -> float:
    if fewer == most:
        raise KeyError("scale with two sizes")
    return (figures[f"scale.{most}.{what}"] - figures[f"scale.{fewer}.{what}"]) / (most - fewer)


def sizing(results: Results) -> str:
    """The generated part of the document."""
    costs = Costs.of(results)
    lines = [*_measured(costs, results.machine, results), "", *_rates(costs), "", *_stored(costs), ""]
    return "\n".join(lines)


def _measured(costs: Costs, machine: Machine, results: Results) -> list[str]:
    most = f"{costs.stored:,}"
    cores, largest = f"{machine.cores} cores", f"at {most} events"
    rows = [
        (
            "an event, text unlike all others, until it is searchable",
            costs.event * 1e3,
            "ms of a core",
            f"{cores} / rate",
        ),
        ("of that the model", costs.text * 1e3, "ms of a core", f"{cores} / rate of the embedder alone"),
        ("most events that one index takes in, nothing to embed", costs.written_per_s, "events/s", largest),
        ("an event in the index, on disk", costs.index_bytes / 1e3, "KB", largest),
        ("an event in the index, in memory", costs.memory_bytes / 1e3, "KB", "slope between the two largest sizes"),
        ("an index of nothing, in memory", costs.base_bytes / _GB, "GB", "the smallest size"),
        (
            "an event in the log, on disk, for each replica",
            costs.log_bytes / 1e3,
            "KB",
            "the smallest size, not compressed yet",
        ),
        ("start to first answer, for each event", costs.start * 1e6, "µs", "slope between the two largest sizes"),
    ]
    where = (
        f"Measured {results.measured_at[:10]} on {machine.cpu}, {cores}, {machine.memory_gib:g} GiB, "
        f"AMX: {'yes' if machine.has_amx else 'no'}, model runtime {results.runtime or 'not asked'}:"
    )
    return [
        where,
        "",
        "| what | cost | unit | from |",
        "| --- | ---: | --- | --- |",
        *(f"| {what} | {number(value)} | {unit} | {source} |" for what, value, unit, source in rows),
    ]


def _rates(costs: Costs) -> list[str]:
    how = (
        "What comes in. Cores: events a second by the cost of an event. Indexes: events a second by the most that one "
        f"takes in, rounded up. Log: {REPLICAS} replicas together. Each day that is kept adds the last three."
    )
    lines = [
        how,
        "",
        "| events a day | events/s, mean | cores | of them the model | indexes | log, GB | index, GB | memory, GB |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for per_day in PER_DAY:
        rate = per_day / _DAY_S
        cells = (
            f"{per_day:,}",
            number(rate),
            number(rate * costs.event),
            number(rate * costs.text),
            str(math.ceil(rate / costs.written_per_s)),
            number(per_day * costs.log_bytes * REPLICAS / _GB),
            number(per_day * costs.index_bytes / _GB),
            number(per_day * costs.memory_bytes / _GB),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _stored(costs: Costs) -> list[str]:
    how = (
        f"What is kept in one index. Beyond {costs.stored:,} events this is a straight line drawn on, not measured. "
        "A rebuild keeps its vectors; with another model every text is embedded anew, here on the machine above."
    )
    lines = [
        how,
        "",
        "| events in the index | disk, GB | memory, GB | start, s more | rebuild, h | with another model, h |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for count in STORED:
        cells = (
            count * costs.index_bytes / _GB,
            (costs.base_bytes + count * costs.memory_bytes) / _GB,
            count * costs.start,
            count / costs.written_per_s / _HOUR_S,
            count * costs.event / costs.cores / _HOUR_S,
        )
        lines.append(f"| {count:,} | {' | '.join(map(number, cells))} |")
    return lines


def main() -> int:
    """Write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load.sizing", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="of a run (default: %(default)s)")
    parser.add_argument("--document", type=Path, default=DOCUMENT, help="the document (default: %(default)s)")
    chosen = parser.parse_args()
    try:
        part = sizing(Results.model_validate_json(chosen.results.read_text(encoding="utf-8")))
    except FileNotFoundError:
        parser.error(f"no results at {chosen.results}: run `make bench` first")
    except KeyError as error:
        parser.error(f"{chosen.results} has no {error}: run `make bench` with all its parts")
    old = chosen.document.read_text(encoding="utf-8")
    if not PART.search(old):
        parser.error(f"{chosen.document} has no generated part `sizing`")
    chosen.document.write_text(PART.sub(lambda found: found[1] + part + found[2], old), encoding="utf-8")
    sys.stdout.write(f"written: the sizes in {chosen.document}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
