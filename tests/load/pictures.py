"""The curves of a run as SVG pictures."""

from pathlib import Path
from typing import Any, Final, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from load.results import Curve, Results


class Picture(NamedTuple):
    """How one picture is drawn."""

    title: str
    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    marker: str = ""


PICTURES: Final[dict[str, Picture]] = {
    "ingest": Picture("A backlog becomes searchable", "seconds", "events searchable"),
    "latency": Picture("Questions", "milliseconds", "percent answered within", log_x=True),
    "freshness": Picture("From published to found", "milliseconds", "percent found within", log_x=True),
    "scale-latency": Picture(
        "Questions by size of the index", "events", "milliseconds", log_x=True, log_y=True, marker="o"
    ),
    "scale-rate": Picture("Ingest by size of the index", "events", "events/s", log_x=True, log_y=True, marker="o"),
    "scale-space": Picture("Space by size of the index", "events", "MiB", log_x=True, log_y=True, marker="o"),
}
_INCHES: Final = (8.0, 4.5)
_STYLE: Final[Any] = {"svg.hashsalt": "precedent", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10}


def draw(results: Results, folder: Path) -> list[str]:
    """Write one SVG for each picture that has curves; their names without suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, picture in PICTURES.items():
        curves = [curve for part in results.parts for curve in part.curves.get(name, ())]
        if curves:
            _draw(picture, curves, folder / f"{name}.svg")
            drawn.append(name)
    return drawn


def _draw(picture: Picture, curves: list[Curve], path: Path) -> None:
    # The object itself instead of pyplot: no display, no global state.
    with mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=_INCHES, layout="constrained")
        axes = canvas.add_subplot()
        for curve in curves:
            axes.plot(curve.x, curve.y, label=curve.label, marker=picture.marker)
        axes.set_title(picture.title)
        axes.set_xlabel(picture.x)
        axes.set_ylabel(picture.y)
        if picture.log_x:
            axes.set_xscale("log")
        if picture.log_y:
            axes.set_yscale("log")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        canvas.savefig(path, format="svg", metadata={"Date": None})
