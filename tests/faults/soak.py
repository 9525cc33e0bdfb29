"""A long run under load with random faults, and the invariant at its end.

    SOAK_SECONDS   how long faults happen (default 900)
    SOAK_EVENTS    how many events are published at least (default 20,000, or its share of fewer seconds)
    SOAK_SEED      of everything that is random; printed

The load runs ahead of the index by a bounded number of messages, and the log is read again a bounded number of times,
so a slow machine takes longer, and comes to the same end. Where it has not published enough when the time for faults is
over, it goes on without them.

Exit code 0 where nothing was lost, doubled, revived or differs in any way, 1 where something was, 2 without a verdict.
"""

import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console
from rich.table import Table

from faults.invariant import Report, examine
from faults.ledger import Ledger
from faults.load import Load
from faults.mishaps import Stack
from harness.indexer_process import IndexerProcess
from harness.lag import Lag
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.schedule import Schedule
from harness.waits import eventually
from harness.wire import Wire

SECONDS: Final = float(os.environ.get("SOAK_SECONDS", "900"))
EVENTS: Final = int(os.environ.get("SOAK_EVENTS") or 20_000 * min(1.0, SECONDS / 900))
SEED: Final = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(10**6))
PER_SECOND: Final = 60.0
"""Events, revisions, decisions and poison; a third as many again with deletions among them."""
AHEAD: Final = 400
"""Messages that the load may be ahead of the index: few enough that a deletion behind them is answered in time."""
FIRST_REREAD_AT: Final = max(1, EVENTS // 40)
LONGEST_CALM_S: Final = 8.0
TELL_EVERY_S: Final = 10.0
STANDSTILL_S: Final = 300.0
"""Seconds without a change where there should be one, or until the indexer is ready: more than any machine takes."""
LONGEST_S: Final = 3 * SECONDS + 1800.0
"""For all of it: the end of a soak that moves, and does not come to an end."""

SHOWN: Final = {"lost": "lost", "doubled": "doubled", "returned": "deleted, and back", "unfindable": "not found"}
"""Kinds of problems that have a line of their own."""
BROKEN: Final = 1
NO_VERDICT: Final = 2


class Soak:
    """One run.

    Args:
        stack: running.
        wire: a connection of its own, past the link.
        dice: what is random.
    """

    def __init__(self, stack: Stack, wire: Wire, dice: random.Random) -> None:
        self._stack = stack
        self._wire = wire
        self._dice = dice
        self._ledger = Ledger()
        self._lag = Lag(wire.stats, lambda: self._ledger.last_seq, ahead=AHEAD, patience=STANDSTILL_S)
        self._schedule = Schedule(stack.mishaps, dice, FIRST_REREAD_AT)
        self._loads = [self._load(SEED, PER_SECOND, deletes=False), self._load(SEED + 1, PER_SECOND / 3, deletes=True)]
        self._begun = time.monotonic()
        self._happened: Counter[str] = Counter()
        self._doing = ""

    async def run(self) -> Report:
        """Break things under load, let everything end, and look at every event.

        Raises:
            ExceptionGroup: something failed that is no matter of the invariant, or nothing moved any more.
            TimeoutError: it took too long.
        """
        async with asyncio.timeout(LONGEST_S), asyncio.TaskGroup() as group:
            beside = [group.create_task(one) for one in (self._lag.watch(), self._stack.supervise(), self._tell())]
            publishing, deleting = self._loads
            async with deleting, publishing:
                await self._break_things()
                await self._publish_the_rest()
                self._doing = "waiting for what is in hand"
            self._doing = "looking at every event"
            report = await examine(self._wire, self._ledger, patience=LONGEST_S)
            for one in beside:
                one.cancel()
        return report

    @property
    def events(self) -> int:
        """How many different ones were acknowledged."""
        return len(self._ledger.events) + len(self._ledger.deleted)

    def print_outstanding(self) -> None:
        """For an end without a verdict: what was going on, and what was waited for."""
        ledger, lag = self._ledger, self._lag
        print(f"after {self._seconds:.0f} s, while {self._doing}, the indexer {self._stack.indexer_state}:")
        print(f"  {ledger.published - ledger.acknowledged} of {ledger.published} are not acknowledged")
        print(f"  {lag.behind} acknowledged messages are not indexed, of {ledger.last_seq}; stats said {lag.stats}")
        for load in self._loads:
            print(f"  in hand: {', '.join(load.in_hand()) or 'nothing'}")

    def print_summary(self, report: Report) -> None:
        """A table of what was done, and of what became of it."""
        title = f"soak of {self._seconds:.0f} s, {SECONDS:g} s of them with faults, SOAK_SEED={SEED}"
        table = Table("", "", title=title, show_header=False)
        ledger = self._ledger
        table.add_row("published: events, revisions, decisions, deletions, poison", f"{ledger.published}")
        table.add_row("acknowledged", f"{ledger.acknowledged}")
        table.add_row("events, without revisions", f"{self.events}")
        table.add_row("of these deleted", f"{len(ledger.deleted)}", end_section=True)
        for name, times in sorted(self._happened.items()):
            table.add_row(name, f"{times}")
        table.add_row("faults", f"{self._happened.total()}")
        table.add_row("indexer ended by itself", f"{self._stack.ended_by_itself}", end_section=True)
        problems = {kind: len(found) for kind, found in report.problems.items()}
        for kind, name in SHOWN.items():
            table.add_row(name, f"{problems.pop(kind, 0)}")
        table.add_row("otherwise wrong", f"{sum(problems.values())}", end_section=True)
        table.add_row("dead letters", f"{report.dead_letters}")
        table.add_row("of these blamed for kills", f"{report.blamed}")
        table.add_row("longest wait for the index", f"{self._lag.longest_s:.0f} s")
        Console().print(table)
        if report.problems:
            print(report)

    def _load(self, seed: int, per_second: float, *, deletes: bool) -> Load:
        # Whether anything moves is watched: nobody gives up by himself.
        return Load(
            self._wire,
            self._ledger,
            seed,
            per_second=per_second,
            deletes=deletes,
            patience=LONGEST_S,
            room=self._lag.room,
        )

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._begun

    async def _break_things(self) -> None:
        name = self._stack.first
        while self._seconds < SECONDS:
            self._happened[name] += 1
            self._doing = name
            await self._stack.happen(name)
            self._doing = "nothing happens"
            await asyncio.sleep(self._dice.uniform(0, LONGEST_CALM_S))
            name = self._schedule.draw(self._ledger.last_seq, caught_up=self._lag.caught_up)

    async def _publish_the_rest(self) -> None:
        if self.events < EVENTS:
            print(f"{self.events} of {EVENTS} events so far: this machine is slow, going on without faults", flush=True)
        self._doing = "publishing the rest"

        def enough() -> None:
            assert self.events >= EVENTS, f"{self.events} of {EVENTS} events"

        await eventually(enough, timeout=LONGEST_S, interval=1)

    async def _tell(self) -> NoReturn:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            ledger, lag = self._ledger, self._lag
            print(
                f"{self._seconds:5.0f} s  {self.events:6} events  {ledger.acknowledged:6} of {ledger.published:6} "
                f"acknowledged  {lag.behind:6} to index  {self._happened.total():4} faults  {self._doing}",
                flush=True,
            )


async def soak(folder: Path) -> int:
    """Run it; the exit code."""
    dice = random.Random(SEED)
    with NatsServer(folder / "jetstream") as server:
        async with TcpRelay(server.port) as relay, Wire.connected(server.url) as wire:
            indexer = IndexerProcess(
                relay.url, folder / "chroma", probe_url=server.url, log_path=folder / "indexer.log"
            )
            indexer.start()
            try:
                await indexer.wait_ready(STANDSTILL_S)
                stack = Stack(server, relay, indexer, wire, folder / "copy", dice, patience=STANDSTILL_S)
                return await verdict(Soak(stack, wire, dice))
            finally:
                indexer.kill()


async def verdict(one: Soak) -> int:
    """Run it and print what became of it; the exit code."""
    try:
        report = await one.run()
    except BaseException:
        one.print_outstanding()
        raise
    one.print_summary(report)
    return BROKEN if report.problems else 0


def main() -> int:
    """Run it in a temporary folder, which is kept where something is wrong; the exit code."""
    print(f"SOAK_SEED={SEED}: {SECONDS:g} s of faults, at least {EVENTS} events", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="precedent-soak-"))
    code = NO_VERDICT
    try:
        code = asyncio.run(soak(folder))
    except Exception:  # noqa: BLE001 -- whatever it is, it is no verdict
        traceback.print_exc()
    finally:
        if code == 0:
            shutil.rmtree(folder)
        said = {0: "the invariant holds", BROKEN: "the invariant is broken"}.get(code, "no verdict")
        kept = "" if code == 0 else f"; logs and stores are left in {folder}"
        print(f"SOAK_SEED={SEED}: {said}{kept}")
    return code


if __name__ == "__main__":
    sys.exit(main())
