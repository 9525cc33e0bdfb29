"""A long run under load with random faults, and the invariant at its end.

    SOAK_SECONDS   how long faults happen (default 900)
    SOAK_EVENTS    how many events are published at least (default 20,000, or its share of fewer seconds)
    SOAK_SEED      of everything that is random; printed

Exit code 0 where nothing was lost, doubled, revived or differs in any way, else 1.
"""

import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path

import nats.errors
from rich.console import Console
from rich.table import Table

from faults.invariant import Report, examine
from faults.ledger import Ledger
from faults.load import Load
from faults.mishaps import Stack
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.wire import AnsweredWithError, Wire

SECONDS = float(os.environ.get("SOAK_SECONDS", "900"))
EVENTS = int(os.environ.get("SOAK_EVENTS") or 20_000 * min(1.0, SECONDS / 900))
SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
PER_SECOND = 30.0
LONGEST_CALM_S = 8.0
REPORT_EVERY_S = 10.0
CATCH_UP_S = 900.0


class Lag:
    """How long an acknowledged message waits until the index covers it, sampled once a second."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._waiting: deque[tuple[int, float]] = deque()
        self.indexed_seq = 0
        self.longest_s = 0.0

    async def watch(self) -> None:
        """Sample until cancelled."""
        while True:
            with contextlib.suppress(AnsweredWithError, nats.errors.Error):
                stats = await self._wire.stats()
                self.indexed_seq = stats["indexed_seq"]
                self._waiting.append((stats["stream_seq"], time.monotonic()))
            while self._waiting and self._waiting[0][0] <= self.indexed_seq:
                self._waiting.popleft()
            if self._waiting:
                self.longest_s = max(self.longest_s, time.monotonic() - self._waiting[0][1])
            await asyncio.sleep(1)


async def work(stack: Stack, ledger: Ledger, lag: Lag, dice: random.Random) -> Counter[str]:
    """Let things happen until the time is over and enough is published; how often each did."""
    happened: Counter[str] = Counter()
    names = list(stack.mishaps)
    weights = [weight for weight, _ in stack.mishaps.values()]
    begun = reported = time.monotonic()
    while time.monotonic() - begun < SECONDS or len(ledger.events) + len(ledger.deleted) < EVENTS:
        await asyncio.sleep(dice.uniform(0, LONGEST_CALM_S))
        await stack.supervise()
        if time.monotonic() - begun < SECONDS:
            (name,) = dice.choices(names, weights)
            happened[name] += 1
            await stack.mishaps[name][1]()
        if time.monotonic() - reported > REPORT_EVERY_S:
            reported = time.monotonic()
            print(
                f"{reported - begun:5.0f} s  {ledger.acknowledged:6} acknowledged  indexed_seq {lag.indexed_seq:6}  "
                f"{happened.total()} faults",
                flush=True,
            )
    return happened


async def soak(folder: Path) -> int:
    """Run it; the exit code."""
    dice = random.Random(SEED)
    ledger = Ledger()
    with NatsServer(folder / "jetstream") as server:
        async with TcpRelay(server.port) as relay, Wire.connected(server.url) as wire:
            indexer = IndexerProcess(
                relay.url, folder / "chroma", probe_url=server.url, log_path=folder / "indexer.log"
            )
            async with indexer:
                stack = Stack(server, relay, indexer, wire, folder / "copy", dice)
                lag = Lag(wire)
                watching = asyncio.create_task(lag.watch())
                publishing = Load(wire, ledger, SEED, per_second=PER_SECOND, deletes=False, patience=CATCH_UP_S)
                deleting = Load(wire, ledger, SEED + 1, per_second=PER_SECOND / 3, patience=CATCH_UP_S)
                # The last deletions are answered once the index has caught up: nothing more is published by then.
                async with deleting, publishing:
                    happened = await work(stack, ledger, lag, dice)
                    await stack.supervise()
                print("the faults are over: waiting for the index to cover the log, then looking at every event")
                report = await examine(wire, ledger, patience=CATCH_UP_S)
                watching.cancel()
            print_summary(ledger, happened, report, stack, lag)
    return 1 if report.problems else 0


def print_summary(ledger: Ledger, happened: Counter[str], report: Report, stack: Stack, lag: Lag) -> None:
    """A table of what was done, and of what became of it."""
    table = Table("", "", title=f"soak of {SECONDS:g} s, SOAK_SEED={SEED}", show_header=False)
    table.add_row("acknowledged: events, revisions, decisions, deletions, poison", f"{ledger.acknowledged}")
    table.add_row("events that must be there", f"{report.events}")
    table.add_row("deleted", f"{len(ledger.deleted)}")
    table.add_row("refused", f"{len(ledger.refused)}")
    table.add_row("blamed for kills (in the dead letters)", f"{report.blamed}", end_section=True)
    for name, times in sorted(happened.items()):
        table.add_row(name, f"{times}")
    table.add_row("indexer ended by itself", f"{stack.ended_by_itself}", end_section=True)
    problems = {kind: len(found) for kind, found in report.problems.items()}
    for kind in ("lost", "doubled", "returned", "unfindable"):
        table.add_row(kind, f"{problems.pop(kind, 0)}")
    table.add_row("otherwise wrong", f"{sum(problems.values())}")
    table.add_row("longest lag", f"{lag.longest_s:.0f} s")
    Console().print(table)
    if report.problems:
        print(report)


def main() -> int:
    """Run it in a temporary folder, which is kept where something is wrong; the exit code."""
    print(f"SOAK_SEED={SEED}: {SECONDS:g} s of faults, at least {EVENTS} events", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="precedent-soak-"))
    code = 1
    try:
        code = asyncio.run(soak(folder))
    finally:
        if code == 0:
            shutil.rmtree(folder)
        else:
            print(f"logs and stores are left in {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
