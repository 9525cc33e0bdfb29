"""Results as tables on a terminal."""

from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from load.results import Comparison, Machine, PartResult, Results

_MARKS: Final = {True: "[green]met[/green]", False: "[red]missed[/red]", None: ""}
_SMALL: Final = 0.1
_LARGE: Final = 1_000


def number(value: float) -> str:
    """A number with as many digits as it deserves."""
    if value and abs(value) < _SMALL:
        return f"{value:.4f}"
    if abs(value) >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.2f}"


def goal(one: Comparison) -> str:
    """The goal in words; nothing without one."""
    if one.goal is None:
        return ""
    sign = "at least" if one.at_least else "at most"
    return f"{sign} {number(one.goal)}{'' if one.unit == 'x' else f' {one.unit}'}"


def machine_lines(one: Machine, runtime: str, steal_percent: float) -> list[str]:
    """The machine in a few lines."""
    return [
        f"{one.cpu}, {one.cores} cores, {one.memory_gib:g} GiB, flags: {', '.join(one.flags) or 'none that matter'}",
        f"AMX: {'yes' if one.has_amx else 'no'}; {one.kernel}; Python {one.python}",
        f"model runtime: {runtime or 'not asked'}",
        f"load average before the run {one.load_before:g}, CPU time taken by other guests {steal_percent:g}%",
        ", ".join(f"{name} {version}" for name, version in one.versions.items()),
    ]


def part(console: Console, result: PartResult) -> None:
    """Figures of one part."""
    if result.failure:
        console.print(f"[red]{result.name} failed:[/red] {escape(result.failure)}", highlight=False)
        return
    table = Table(title=f"{result.name} ({result.seconds:.0f} s)", title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for figure in result.figures:
        table.add_row(figure.what, number(figure.value), figure.unit)
    console.print(table)


def summary(console: Console, results: Results) -> None:
    """Every comparison, with its goal."""
    table = Table(title="compared, in the same run", title_justify="left")
    table.add_column("part")
    table.add_column("ratio")
    table.add_column("value", justify="right")
    table.add_column("goal")
    table.add_column("")
    for result in results.parts:
        for one in result.comparisons:
            unit = "" if one.unit == "x" else f" {one.unit}"
            table.add_row(result.name, one.what, number(one.value) + unit, goal(one), _MARKS[one.met])
    console.print(table)
    for line in machine_lines(results.machine, results.runtime, results.steal_percent):
        console.print(f"[dim]{escape(line)}[/dim]", highlight=False)
