"""What the command writes: tables for people or JSON for programs on stdout, everything else on stderr."""

import sys

import typer
from rich.console import Console, RenderableType

from precedent_backend_adapter.cli.display.text import as_json, safe

_PIPE_WIDTH = 160
"""Columns of a table that no terminal shows."""


class Output:
    """Both streams of one run.

    Args:
        json: JSON in the place of tables.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self._tables = _console(stderr=False)
        self.notes = _console(stderr=True)

    def show(self, value: object, *shown: RenderableType) -> None:
        """One answer: `value` as JSON, or what is `shown` of it."""
        if self.json:
            typer.echo(as_json(value))
        elif shown:
            self._tables.print(*shown, sep="\n")

    def note(self, message: str) -> None:
        """A line for people that is no answer."""
        self.notes.print(safe(message), soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    # Nothing in a text is markup, an emoji or worth a colour: it is data.
    return Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH
    )
