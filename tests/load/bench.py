"""The benchmark: `python -m load.bench` measures everything, with names of parts only these.

It prints tables, writes one JSON document and leaves neither processes nor files behind. Exit code 0: everything was
measured, whether or not the goals are met; 1: a part failed.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from load import show
from load.machine import cpu_ticks, machine
from load.parts import freshness, ingest, latency, peer, publisher, scale
from load.results import PartResult, Results
from load.session import Session
from load.sizes import FULL, QUICK, Sizes, scale_of

PARTS: Final[dict[str, Callable[[Session], Awaitable[PartResult]]]] = {
    one.NAME: one.measure for one in (ingest, latency, freshness, scale, peer, publisher)
}
_INTERRUPTED: Final = 130
RESULTS: Final = Path(__file__).parent / "results.json"


async def run(names: Sequence[str], sizes: Sizes, console: Console) -> Results:
    """Run parts, one after another; one that fails does not stop the others."""
    stolen_before, all_before = cpu_ticks()
    results = Results(
        measured_at=datetime.now(UTC).isoformat(timespec="seconds"), sizes=sizes.name, machine=machine(), parts=[]
    )
    with tempfile.TemporaryDirectory(prefix="precedent-bench-") as name:
        session = Session(sizes, results.machine, Path(name), console)
        for part in names:
            results.parts.append(await _run_part(part, session))
            show.part(console, results.parts[-1])
        results.runtime = session.runtime
    stolen_after, all_after = cpu_ticks()
    results.steal_percent = round(100 * (stolen_after - stolen_before) / max(1, all_after - all_before), 2)
    return results


async def _run_part(name: str, session: Session) -> PartResult:
    began = time.monotonic()
    session.say(f"[bold]{name}[/bold]")
    try:
        async with asyncio.timeout(session.sizes.part_s):
            result = await PARTS[name](session)
    except Exception as error:  # noqa: BLE001 -- whatever ended it, the other parts still say something
        notes = "\n".join(getattr(error, "__notes__", []))
        session.say(f"[red]{name} failed[/red]")
        result = PartResult(name=name, failure=f"{type(error).__name__}: {error}\n{notes}".strip())
    result.seconds = round(time.monotonic() - began, 1)
    return result


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m load.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"which of {', '.join(PARTS)}; all without")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it works, says nothing of speed")
    parser.add_argument("--size", type=int, metavar="EVENTS", help="measure the scale part at this size alone")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the JSON document (default: %(default)s)")
    chosen = parser.parse_args()
    unknown = [name for name in chosen.parts if name not in PARTS]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}: choose from {', '.join(PARTS)}")
    if chosen.size is not None and (chosen.size < 1 or chosen.quick or set(chosen.parts) - {scale.NAME}):
        parser.error("--size takes a number above 0, and goes with the part `scale` alone")
    sizes = QUICK if chosen.quick else FULL if chosen.size is None else scale_of(chosen.size)
    names = [scale.NAME] if chosen.size is not None else chosen.parts or list(PARTS)
    console = Console(width=None if sys.stdout.isatty() else 140)
    # A polite end, like Ctrl-C: servers are stopped and folders removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        results = asyncio.run(run(names, sizes, console))
        chosen.output.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
        show.summary(console, results)
        console.print(f"written to {chosen.output}", highlight=False)
        return 1 if any(part.failure for part in results.parts) else 0
    return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
