"""What commands print: tables for people or JSON for programs. What others wrote is data in both, never an order."""

import io
import json
import sys
from collections.abc import Iterable, Sequence
from typing import IO

from pydantic import BaseModel
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 160
"""Columns of a table that no terminal shows."""


def safe(text: str) -> str:
    r"""`text` with everything that could move a cursor, hide or pose as something else written as in `\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cell(value: object) -> Text:
    """One value as data; nothing where there is none."""
    return Text("" if value is None else safe(str(value)), overflow="fold")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[str] = ()) -> Table:
    """A table of plain values; the columns called `numbers` are flushed right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        made.add_column(head, overflow="fold", justify="right" if head in numbers else "left")
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def pairs(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values, without heads; what has no value is left out."""
    made = Table(box=None, show_header=False, pad_edge=False)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(overflow="fold")
    for name, value in rows:
        if value is not None:
            made.add_row(cell(name), cell(value))
    return made


def show(value: BaseModel, *shown: RenderableType, as_json: bool) -> None:
    """One answer: whole as JSON on one line, or what is `shown` of it."""
    if as_json:
        # ASCII alone, so that no character of it can do anything to a terminal; the library takes DEL for one of them.
        sys.stdout.write(json.dumps(value.model_dump(mode="json")).replace("\x7f", r"\u007f") + "\n")
    elif shown:
        console().print(*shown, sep="\n")


def console(*, stderr: bool = False) -> Console:
    """Where people read; nothing in a text is markup or an emoji."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH
    )


def escape_unencodable(*streams: IO[str]) -> None:
    """Make streams write an escape for a character that their encoding lacks, where they would raise an error."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
