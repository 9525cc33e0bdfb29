"""`make demo`: a real nats-server and a real indexer, a few hundred events, and an analyst's questions.

It runs once, on a free port and in a fresh directory, and leaves nothing behind.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

import filling
import local_stack
import screens
from precedent_backend_adapter import Precedent
from precedent_schemas import SearchReply

SHOWN: Final = 3
"""Questions on the closing screen; all are asked."""
SEEN_BEFORE: Final = "Failed logins for an administrator account"
NEVER_SEEN: Final = "The coffee machine on the third floor is leaking"
ALIKE: Final = 0.4
"""Least similarity that counts as the same thing here: wide, since the events are all of different words."""


async def ask(precedent: Precedent) -> tuple[list[tuple[str, SearchReply]], list[str]]:
    """Every question with its answer, and a line for each whose best hit is of another kind than expected."""
    asked, surprises = [], []
    questions: list[dict[str, Any]] = json.loads((filling.DATA / "questions.json").read_text(encoding="utf-8"))
    for line in questions:
        answer = await precedent.search(line["question"], k=screens.HITS)
        asked.append((line["question"], answer))
        best = answer.hits[0].event.kind if answer.hits else "nothing"
        if not f"{best}.".startswith(f"{line['expect_kind']}."):
            surprises.append(f"{line['question']!r} found {best}, expected {line['expect_kind']}")
    return asked, surprises


async def demo(console: Console) -> int:
    """Everything once; the exit code."""
    with tempfile.TemporaryDirectory(prefix="precedent-demo-") as name:
        async with local_stack.running(Path(name), console) as url, Precedent.connect(url) as precedent:
            await filling.fill(precedent, console)
            with local_stack.step(console, "asking"):
                asked, surprises = await ask(precedent)
                seen = await precedent.recurrence(SEEN_BEFORE, min_similarity=ALIKE)
                never = await precedent.recurrence(NEVER_SEEN, min_similarity=ALIKE)
            console.rule()
            screens.answers(console, asked[:SHOWN])
            screens.recurrence(console, SEEN_BEFORE, ALIKE, seen)
            screens.recurrence(console, NEVER_SEEN, ALIKE, never)
    if not seen.total:
        surprises.append(f"{SEEN_BEFORE!r} was never seen, expected several times")
    if never.total:
        surprises.append(f"{NEVER_SEEN!r} was seen {never.total} times, expected never")
    screens.type_next(console, url=None)
    for surprise in surprises:
        console.print(f"[red]not what was expected:[/red] {escape(surprise)}")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(demo(Console(width=None if sys.stdout.isatty() else 100))))
