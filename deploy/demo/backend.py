"""A demonstration backend: publishes security events and asks for precedents, until it is told to stop.

It runs in a container of its own, beside the agent libraries cosmpy and uagents and without any vector store. All its
events are made up: they go to the collection `demo` and to no other, so that no other collection's answers hold them.
The first time it publishes the demonstration's events and asks an analyst's questions; then, every `DEMO_PAUSE_S`
seconds, it publishes one more event and asks whether that was seen before. One JSON line says each.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import uagents  # type: ignore[import-not-found]  # the backend's environment alone has it
from cosmpy.aerial.wallet import LocalWallet  # type: ignore[import-not-found]  # as above

from precedent_backend_adapter import NotFound, NotIndexedYet, Precedent, PrecedentError, Receipt, SecurityEvent
from precedent_backend_adapter.config.environment import config_from_environment
from precedent_schemas import Outcome

DATA: Final = Path(__file__).parent
COLLECTION: Final = "demo"
ANSWERED: Final = Path(os.environ.get("DEMO_ANSWERED", "/tmp/answered"))  # the container's own
"""Touched after every answer: how the container's health check knows that all is well."""
PAUSE_S: Final = float(os.environ.get("DEMO_PAUSE_S", "30"))
EVENTS: Final = int(os.environ.get("DEMO_EVENTS", "1000"))
"""Most events that are published at the start: a test needs but a few."""
INDEX_WAIT_S: Final = 30.0
HITS: Final = 3


class Incident(uagents.Model):  # type: ignore[misc]  # the library has no types here
    """What one agent tells another."""

    kind: str
    text: str
    severity: int


def say(what: str, **details: object) -> None:
    """One line for whoever reads the log."""
    print(json.dumps({"event": what, **details}, default=str), flush=True)


def read_lines(name: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of one data file."""
    with (DATA / name).open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


async def fill(precedent: Precedent) -> Receipt | None:
    """Publish the demonstration's events and decisions; the last receipt, None where the index has them."""
    lines = itertools.islice(read_lines("events.jsonl"), EVENTS)
    events = [SecurityEvent(**line, collection=COLLECTION) for line in lines]
    with contextlib.suppress(NotFound):
        if not (await precedent.get([events[-1].id], collection=COLLECTION)).missing:
            return None
    for event in events:
        await precedent.publish(event)
    receipts = [
        await precedent.publish_outcome(Outcome(**line), collection=COLLECTION) for line in read_lines("outcomes.jsonl")
    ]
    say("published", collection=COLLECTION, events=len(events), outcomes=len(receipts))
    return receipts[-1]


async def ask(precedent: Precedent, question: str, after: Receipt | None) -> str:
    """Ask once and say what came; the kind of the best hit."""
    while True:
        with contextlib.suppress(NotIndexedYet):
            answer = await precedent.search(question, collection=COLLECTION, k=HITS, after=after, wait=INDEX_WAIT_S)
            break
        say("waiting", reason="the index has not reached the last event yet")
    ANSWERED.touch()
    found = {hit.event.id: f"{hit.similarity:.3f} {hit.event.kind}" for hit in answer.hits}
    say("answered", question=question, found=found, indexed_seq=answer.indexed_seq, stream_seq=answer.stream_seq)
    return answer.hits[0].event.kind if answer.hits else "nothing"


async def ask_questions(precedent: Precedent, after: Receipt | None) -> None:
    """Every question of the analyst, and how many found the kind that they are about."""
    questions = json.loads((DATA / "questions.json").read_text(encoding="utf-8"))
    right = 0
    for line in questions:
        best = await ask(precedent, line["question"], after)
        right += f"{best}.".startswith(f"{line['expect_kind']}.")
    say("asked", questions=len(questions), as_expected=right)


async def live(precedent: Precedent) -> None:
    """Something happens, again and again, and the backend asks whether it was seen before."""
    for line in itertools.cycle(read_lines("events.jsonl")):
        incident = Incident(kind=line["kind"], text=line["text"], severity=line["severity"])
        event = SecurityEvent(
            **incident.dict(), collection=COLLECTION, source="demo-backend", occurred_at=datetime.now(UTC)
        )
        try:
            await ask(precedent, event.text, after=await precedent.publish(event))
        except PrecedentError as error:
            # The other side is away for a while; the connection comes back by itself.
            say("failed", error=type(error).__name__, reason=str(error))
        await asyncio.sleep(PAUSE_S)


async def run() -> None:
    """Everything, over one connection, until cancelled."""
    urls, config = config_from_environment(os.environ)
    beside = {name: version(name) for name in ("cosmpy", "uagents")}
    say("started", beside=beside, wallet=str(LocalWallet.generate().address()))
    async with Precedent.connect(urls, config=config) as precedent:
        await ask_questions(precedent, after=await fill(precedent))
        await live(precedent)


async def main() -> int:
    """Run until SIGINT or SIGTERM; the exit code."""
    running = asyncio.create_task(run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        say("stopped")
        return 0
    except PrecedentError as error:
        say("ended", error=type(error).__name__, reason=str(error))
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
