"""What a page shows of a terminal: commands, and what they print, as far as the page tells it.

In a block `console` a line that starts with `$ ` is a command, and what follows it is a part of its output: each line
stands in a line of the real output, in this order, where `…` is anything and space is as wide as it likes. A line that
is `…` alone only shows that something is left out. Commands of a block `console follow` run on while the blocks after
it do, as in a terminal of their own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPT: Final = "$ "
LEFT_OUT: Final = "…"
_FENCE: Final = re.compile(r"^```(?P<info>.*)$")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a page.

    Attributes:
        where: file and line, for messages.
        section: the heading of second rank above it.
        command: what is typed.
        printed: the lines that the page shows of its output.
        follows: it goes on until it is interrupted.
    """

    where: str
    section: str
    command: str
    printed: tuple[str, ...]
    follows: bool = False


class OddPage(Exception):
    """A page has a block that nothing would run."""


def read_steps(name: str, text: str) -> list[Step]:
    """The commands of a page, in its order.

    Raises:
        OddPage: a block is of another language, or begins with something else than a command.
    """
    steps: list[Step] = []
    section, info = "", None
    for number, line in enumerate(text.splitlines(), start=1):
        where = f"{name}:{number}"
        if fence := _FENCE.match(line):
            info = fence["info"].strip() if info is None else None
            if info not in {None, "console", "console follow"}:
                raise OddPage(f"{where}: a block {info!r} is run by nobody, write `console` or `console follow`")
            begun = False
        elif info is None:
            section = line.removeprefix("## ") if line.startswith("## ") else section
        elif line.startswith(PROMPT):
            steps.append(Step(where, section, line.removeprefix(PROMPT), (), follows=info.endswith("follow")))
            begun = True
        elif not begun:
            raise OddPage(f"{where}: output without a command: begin the block with `{PROMPT}`")
        else:
            last = steps[-1]
            steps[-1] = Step(last.where, last.section, last.command, (*last.printed, line), follows=last.follows)
    return steps


def shown(printed: Sequence[str]) -> list[str]:
    """The lines of it that say something."""
    return [line for line in printed if line.strip(f"{LEFT_OUT} ")]


def first_missing(printed: Sequence[str], output: str) -> str | None:
    """The first line of a page that the output does not have behind the ones before; None where all is there."""
    lines = iter(_narrow(line) for line in output.splitlines())
    for line in shown(printed):
        wanted = re.compile(".*?".join(re.escape(part.strip()) for part in _narrow(line).split(LEFT_OUT)))
        if not any(wanted.search(one) for one in lines):
            return line
    return None


def _narrow(line: str) -> str:
    return " ".join(line.split())
