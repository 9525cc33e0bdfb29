"""The demonstration: a real nats-server and a real indexer, a few hundred events, an analyst's questions.

`make demo` runs it once, on free ports and in a fresh directory, and leaves nothing behind. `make up` keeps the
same stack running on port 4222 until Ctrl-C.
"""

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from precedent_backend_adapter import Precedent, Receipt
from precedent_schemas import RULES, Hit, Outcome, SearchReply, SecurityEvent

DATA: Final = Path(__file__).parent
USUAL_PORT: Final = 4222
HITS: Final = 4
TEXT_CHARS: Final = 120
INDEX_TIMEOUT_S: Final = 30.0
console = Console(width=None if sys.stdout.isatty() else 120)


@contextlib.asynccontextmanager
async def stack(port: int | None) -> AsyncIterator[str]:
    """nats-server and indexer in a fresh directory; their URL. Both are gone when the block ends."""
    with tempfile.TemporaryDirectory(prefix="precedent-demo-") as name:
        directory = Path(name)
        with NatsServer(directory / "jetstream", port=port) as server:
            async with IndexerProcess(server.url, directory / "chroma"):
                yield server.url


def read_lines(name: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of one data file."""
    with (DATA / name).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


async def fill(precedent: Precedent) -> Receipt:
    """Publish events, rules and outcomes; the last receipt."""
    events = [SecurityEvent(**line) for line in read_lines("events.jsonl")]
    rules = [SecurityEvent(**line, collection=RULES) for line in read_lines("rules.jsonl")]
    outcomes = [Outcome(**line) for line in read_lines("outcomes.jsonl")]
    receipt: Receipt | None = None
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        publishing = progress.add_task("published to the log", total=len(events) + len(rules) + len(outcomes))
        indexing = progress.add_task("indexed and searchable", total=len(events) + len(rules) + len(outcomes))
        for event in (*events, *rules):
            receipt = await precedent.publish(event)
            progress.advance(publishing)
        for outcome in outcomes:
            receipt = await precedent.publish_outcome(outcome)
            progress.advance(publishing)
        if receipt is None:
            raise SystemExit("the data files are empty: check out deploy/demo anew")
        async with asyncio.timeout(2 * INDEX_TIMEOUT_S):
            while (covered := (await precedent.stats()).indexed_seq) < receipt.seq:
                progress.update(indexing, completed=covered)
                await asyncio.sleep(0.1)
        progress.update(indexing, completed=receipt.seq)
    return receipt


def show(question: str, why: str, answer: SearchReply) -> None:
    """One question, why it is asked, and its answer as a table."""
    caption = (
        f"covers the log up to {answer.indexed_seq} of {answer.stream_seq}, "
        f"model {answer.model.name} ({answer.model.fingerprint})"
    )
    table = Table(title=f"“{question}”", title_justify="left", caption=caption, caption_justify="left", expand=True)
    table.add_column("similarity", justify="right", width=10)
    table.add_column("sev", justify="right", width=3)
    table.add_column("when", width=10)
    table.add_column("kind", width=24)
    table.add_column("what happened", ratio=1)
    table.add_column("decided", width=14)
    for hit in answer.hits:
        table.add_row(
            f"{hit.similarity:.3f}",
            str(hit.event.severity),
            f"{hit.event.occurred_at:%Y-%m-%d}",
            hit.event.kind,
            escape(textwrap.shorten(hit.event.text, TEXT_CHARS, placeholder=" …")),
            _decided(hit),
        )
    console.print(f"[dim]{escape(why)}[/dim]")
    console.print(table)
    console.print()


def _decided(hit: Hit) -> str:
    return str(hit.outcome.verdict).replace("_", " ") if hit.outcome else ""


async def ask(precedent: Precedent, after: Receipt) -> list[str]:
    """Ask every question; those whose best hit is of another kind than expected."""
    surprises = []
    for line in json.loads((DATA / "questions.json").read_text(encoding="utf-8")):
        answer = await precedent.search(line["question"], k=HITS, after=after, wait=INDEX_TIMEOUT_S)
        show(line["question"], line["why"], answer)
        best = answer.hits[0].event.kind if answer.hits else "nothing"
        if f"{best}.".startswith(f"{line['expect_kind']}."):
            continue
        surprises.append(f"{line['question']!r} found {best}, expected {line['expect_kind']}")
    return surprises


def show_commands(url: str) -> None:
    """What to type to try the same by hand."""
    console.rule("the same from a shell")
    for command in (
        'nats pub security.events.v1.incidents.auth.brute_force \'{"text": "5000 failed logins for admin in 30 s"}\'',
        'nats req security.index.v1.incidents.search \'{"text": "thousands of failed admin logins", "k": 3}\'',
        'nats req security.index.v1.incidents.list \'{"limit": 3, "filter": {"severity": {"min": 5}}}\'',
        "nats req security.index.v1.stats ''",
        "nats micro info indexer",
    ):
        console.print(
            f"  {command.replace('nats ', f'nats -s {url} ', 1)}", markup=False, highlight=False, soft_wrap=True
        )


async def demo() -> int:
    """Everything once; the exit code."""
    console.print("starting nats-server and the indexer …")
    async with stack(port=None) as url, Precedent.connect(url) as precedent:
        receipt = await fill(precedent)
        surprises = await ask(precedent, receipt)
    show_commands(f"nats://127.0.0.1:{USUAL_PORT}")
    console.print("[dim]`make up` keeps this stack running there until Ctrl-C.[/dim]")
    for surprise in surprises:
        console.print(f"[red]not what was expected:[/red] {escape(surprise)}")
    return 1 if surprises else 0


async def up(port: int) -> int:
    """The same stack on a port of choice until SIGINT or SIGTERM; the exit code."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    console.print(f"starting nats-server on port {port} and the indexer …")
    async with stack(port=port) as url:
        async with Precedent.connect(url) as precedent:
            await fill(precedent)
        show_commands(url)
        console.print(f"running on {url}; Ctrl-C ends it, and its data with it")
        await stopped.wait()
        console.print("stopping …")
    return 0


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--up", type=int, metavar="PORT", help="keep the stack running on this port until Ctrl-C")
    port = parser.parse_args().up
    return asyncio.run(demo() if port is None else up(port))


if __name__ == "__main__":
    sys.exit(main())
