"""What the demonstration prints: answers for a screen of 80 columns and 24 lines, and the commands to type next."""

import json
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape

from precedent_schemas import RecurrenceReply, SearchReply

ROOT: Final = Path(__file__).resolve().parents[2]
PRECEDENT: Final = ROOT / "services" / "backend-adapter" / ".venv" / "bin" / "precedent"
INDEXER: Final = ROOT / "services" / "indexer" / ".venv" / "bin" / "precedent-indexer"
BUILT_NATS: Final = ROOT / "build" / "bin" / "nats"
HITS: Final = 2
USUAL_URL: Final = "nats://127.0.0.1:4222"
QUESTION: Final = "thousands of failed admin logins"
EVENT: Final = ("auth.brute_force", "5000 failed logins for admin in 30 s")
_KIND_CHARS: Final = 24


def answers(console: Console, asked: list[tuple[str, SearchReply]]) -> None:
    """Questions with their best answers: similarity, kind, and as much of the text as a line holds."""
    console.print("[bold]Asked in words, answered by meaning[/bold] (similarity, kind, what happened)")
    for question, answer in asked:
        console.print(f"[bold]?[/bold] {escape(question)}", highlight=False)
        for hit in answer.hits[:HITS]:
            start = f"  {hit.similarity:.2f}  {hit.event.kind:<{_KIND_CHARS}}"
            text = textwrap.shorten(hit.event.text, console.width - len(start) - 2, placeholder=" …")
            console.print(escape(f"{start}  {text}"), highlight=False)


def recurrence(console: Console, about: str, alike: float, answer: RecurrenceReply) -> None:
    """How often events at least `alike` similar to a text came; for none, how much of the log "never" covers."""
    console.print(f"[bold]How often?[/bold] {escape(about)}", highlight=False)
    if answer.total:
        times = "once" if answer.total == 1 else f"{answer.total} times"
        said = f"{times} (similarity from {alike}), {answer.first_seen:%Y-%m-%d} to {answer.last_seen:%Y-%m-%d}"
        said += f", users: {answer.users}, addresses: {answer.ips}"
    else:
        said = f"never seen (similarity from {alike}) in messages 1 to {answer.indexed_seq} of {answer.stream_seq}"
    console.print(f"  {said}", highlight=False)


def commands(url: str | None) -> Iterator[str]:
    """Shell lines that work on this machine as they are.

    Args:
        url: Where the stack runs; None if it has ended, so that the first line starts it again.
    """
    if url is None:
        yield f"make -C {shlex.quote(str(ROOT))} up DEMO=1"
    # The commands read NATS_URL too: on the usual port, and without it, they need no address.
    usual = url in {None, USUAL_URL}
    before, server = ("", "") if usual else (f"NATS_URL={url} ", f" -s {url}")
    precedent, indexer = shlex.quote(str(PRECEDENT)), shlex.quote(str(INDEXER))
    if url is not None:
        yield f"{precedent} publish {EVENT[0]} '{EVENT[1]}' --severity 5{server}"
    yield f"{precedent} search '{QUESTION}' -k 3{server}"
    yield f"{precedent} list --min-severity 5{server}"
    yield f"{before}{indexer} health"
    if (nats := _nats()) is not None:
        question = json.dumps({"text": QUESTION})
        yield f"{shlex.quote(nats)}{server} req --raw security.index.v1.incidents.search {shlex.quote(question)}"


def type_next(console: Console, url: str | None) -> None:
    """Print `commands`, one a line and unwrapped, and how to get the `nats` command if there is none."""
    console.print("[bold]Type next[/bold]" + (", the first in a terminal of its own:" if url is None else ":"))
    for command in commands(url):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    if _nats() is None:
        how = "`make nats-cli` builds it" if shutil.which("go") else "install Go, then `make nats-cli` builds it"
        console.print(f"[dim]The `nats` command is not on this machine: {how}.[/dim]")


def _nats() -> str | None:
    return str(BUILT_NATS) if BUILT_NATS.exists() else shutil.which("nats")
