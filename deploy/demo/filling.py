"""The demonstration's events, published and indexed with their progress shown."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from precedent_backend_adapter import NotFound, Precedent, Receipt, SecurityEvent
from precedent_schemas import RULES, Outcome

DATA: Final = Path(__file__).parent
INDEX_TIMEOUT_S: Final = 120.0
"""Covers the embedding of all texts on a busy machine without a fast processor."""
POLL_S: Final = 0.1
COLUMNS: Final = (
    SpinnerColumn(),
    TextColumn("{task.description:<24}"),
    BarColumn(bar_width=24),
    MofNCompleteColumn(),
    TimeElapsedColumn(),
)


def read_lines(name: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of one data file."""
    with (DATA / name).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


async def is_filled(precedent: Precedent) -> bool:
    """Whether the index has the last event of the demonstration."""
    *_, last = read_lines("events.jsonl")
    with contextlib.suppress(NotFound):
        return not (await precedent.get([last["id"]])).missing
    return False


async def fill(precedent: Precedent, console: Console) -> Receipt:
    """Publish events, rules and outcomes, and wait until all are indexed; the last receipt.

    Raises:
        TimeoutError: The index did not follow within `INDEX_TIMEOUT_S`.
    """
    events = [SecurityEvent(**line) for line in read_lines("events.jsonl")]
    rules = [SecurityEvent(**line, collection=RULES) for line in read_lines("rules.jsonl")]
    outcomes = [Outcome(**line) for line in read_lines("outcomes.jsonl")]
    receipt: Receipt | None = None
    total = len(events) + len(rules) + len(outcomes)
    before = (await precedent.stats()).indexed_seq
    with Progress(*COLUMNS, console=console) as progress:
        publishing = progress.add_task("published to the log", total=total)
        indexing = progress.add_task("indexed and searchable", total=total)
        for event in (*events, *rules):
            receipt = await precedent.publish(event)
            progress.advance(publishing)
        for outcome in outcomes:
            receipt = await precedent.publish_outcome(outcome)
            progress.advance(publishing)
        if receipt is None:
            raise SystemExit("the data files of deploy/demo are empty: restore them with `git checkout deploy/demo`")
        async with asyncio.timeout(INDEX_TIMEOUT_S):
            while (covered := (await precedent.stats()).indexed_seq) < receipt.seq:
                progress.update(indexing, completed=covered - before)
                await asyncio.sleep(POLL_S)
        progress.update(indexing, completed=total)
    return receipt
