"""What the command writes: text for people or JSON for programs on stdout, everything else on stderr."""

import io
import shutil
import sys

from rich.console import Console, RenderableType

from precedent_backend_adapter.cli.display.text import as_json, safe

_PIPE_SIZE = (160, 25)
"""Columns and lines where stdout is no terminal and `COLUMNS` is not set."""


class Output:
    """Both streams of one run.

    Args:
        json: JSON in the place of text for people.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        for stream in (sys.stdout, sys.stderr):
            # A character that the stream's encoding lacks is written as an escape.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self._shown = _console(stderr=False)
        self.notes = _console(stderr=True)

    def show(self, value: object, *shown: RenderableType) -> None:
        """One answer: `value` as JSON, or what is `shown` of it."""
        if self.json:
            self.write(as_json(value))
        elif shown:
            self._shown.print(*shown, sep="\n")

    def write(self, text: str) -> None:
        """Lines that are laid out already, as JSON and CSV are."""
        # Not the library's `echo`: on an ASCII stream that writes UTF-8.
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def note(self, message: str) -> None:
        """A line for people that is no answer."""
        self.notes.print(safe(message), soft_wrap=True)


def _console(*, stderr: bool) -> Console:
    size = shutil.get_terminal_size(_PIPE_SIZE)
    # Nothing in a text is markup, an emoji or worth a colour: it is data.
    return Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, width=size.columns, height=max(size.lines, 2)
    )
