"""Writes `docs/performance.md` and its pictures from the results of a run: `python -m load.page`."""

import argparse
import sys
from pathlib import Path
from typing import Final

from load import pictures, show
from load.bench import PARTS, RESULTS
from load.results import Comparison, PartResult, Results

DOCS: Final = Path(__file__).parents[2] / "docs"
_ABOUT: Final = {
    "ingest": "A backlog is published while the indexer is frozen; the clock runs from the moment it may begin until a "
    "search covers the last event. The embedder alone is the indexer's own, opened as `serve` opens it, on distinct "
    "texts in batches of the indexer's size; the two take turns of three seconds, one frozen while the other has the "
    "machine, and each one's clock counts only its own turns. The old service is a stand-in: HTTP, one `add` for each "
    "request, Chroma's default embedding function fed from the same model.",
    "latency": "Through the backend adapter, from the call until the validated reply; 10 hits, no filter. Under full "
    "ingest, one asker pauses 50 ms between questions until the backlog is done. The old service is asked in the same "
    "way over HTTP, while eight clients add to it.",
    "freshness": "From the acknowledgement of a publish until a search with `min_seq` returns with the event in it, so "
    "that embedding the event, storing it, embedding the question and finding it are all in the figure.",
    "scale": "The log is filled by the adapter; the index by the indexer's own modules with synthetic vectors (the "
    "vectors of a few hundred real texts, each moved by a random step); then `precedent-indexer serve` is started on "
    "it and asked as before. Filters have nothing to do with the text: one of two sources (50%), one of a hundred "
    "users (1%), three of thirty days (10%).",
    "peer": "What a competent engineer would write in an afternoon: a batch pull consumer, the same model on ONNX "
    "Runtime fp32, Chroma embedded, acknowledgement after the upsert, questions by request-reply. It keeps none of "
    "Precedent's promises about order, equal texts, poison, rebuilds and reading one's own writes.",
    "publisher": "Events per second that the adapter has acknowledged by the log, on a server of one node. With "
    "`sync_interval: always` each message is on the disk before it is acknowledged.",
}
_MARKS: Final = {True: "met", False: "**missed**", None: ""}


def page(results: Results, drawn: list[str]) -> str:
    """The document."""
    lines = [
        "# Performance",
        "",
        "Written by `make performance` from the results of one run of `make bench`; do not edit.",
        "",
        *_machine(results),
        "",
        "Absolute figures are of this machine alone. Everything was measured in the same run, one thing after another:",
        "the ratios say more.",
        "",
        "## Goals",
        "",
        *_comparisons([(part, one) for part in results.parts for one in part.comparisons if one.goal is not None]),
        "",
    ]
    for part in results.parts:
        lines += _part(part, drawn)
    return "\n".join([*lines, *_REPRODUCE])


def _machine(results: Results) -> list[str]:
    described = show.machine_lines(results.machine, results.runtime, results.steal_percent)
    kinds = {"full": "", "quick": " (the quick run, which says nothing of speed)"}
    kind = kinds.get(results.sizes, f" ({results.sizes})")
    return [f"Measured at {results.measured_at}{kind} on:", "", *(f"- {line}" for line in described)]


def _comparisons(some: list[tuple[PartResult, Comparison]]) -> list[str]:
    rows = [
        f"| {part.name} | {one.what} | {show.number(one.value)}{'' if one.unit == 'x' else f' {one.unit}'} "
        f"| {show.goal(one)} | {_MARKS[one.met]} |"
        for part, one in some
    ]
    return ["| part | what | value | goal | |", "| --- | --- | ---: | --- | --- |", *rows]


def _part(part: PartResult, drawn: list[str]) -> list[str]:
    lines = [f"## {part.name.capitalize()}", "", _ABOUT[part.name], ""]
    if part.failure:
        return [*lines, "This part failed in the run; nothing of it was measured.", ""]
    for name in part.curves:
        # A picture that several parts draw in stands in the first.
        if name in drawn:
            lines += [f"![{pictures.PICTURES[name].title}](performance/{name}.svg)", ""]
            drawn.remove(name)
    lines += ["| figure | value | unit |", "| --- | ---: | --- |"]
    lines += [f"| {figure.what} | {show.number(figure.value)} | {figure.unit} |" for figure in part.figures]
    lines += [""]
    without_goal = [one for one in part.comparisons if one.goal is None]
    if without_goal:
        lines += [*_comparisons([(part, one) for one in without_goal]), ""]
    return lines


_REPRODUCE: Final = [
    "## To reproduce",
    "",
    "    make bench          # everything, to tests/load/results.json; takes about half an hour",
    "    make performance    # this page and its pictures from it",
    "    make bench-million  # the scale part at one million events; takes hours",
    "",
    f"One part alone: `make bench PARTS=ingest`; the parts are {', '.join(f'`{name}`' for name in PARTS)}.",
    "Let nothing else run on the machine: the load average above says whether that was so.",
    "",
]


def main() -> int:
    """Write; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load.page", description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="of a run (default: %(default)s)")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the documents (default: %(default)s)")
    chosen = parser.parse_args()
    try:
        results = Results.model_validate_json(chosen.results.read_text(encoding="utf-8"))
    except FileNotFoundError:
        parser.error(f"no results at {chosen.results}: run `make bench` first")
    drawn = pictures.draw(results, chosen.docs / "performance")
    (chosen.docs / "performance.md").write_text(page(results, drawn), encoding="utf-8")
    sys.stdout.write(f"written: {chosen.docs / 'performance.md'} and {len(results.parts)} parts\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
