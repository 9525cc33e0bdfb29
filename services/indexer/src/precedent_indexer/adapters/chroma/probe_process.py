"""Probes a generation in a child process, since a broken segment can crash the process that reads it.

No other process may have the files of the generation open meanwhile.
"""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Final

import structlog

from precedent_indexer.adapters.chroma.probe import probe_files
from precedent_indexer.adapters.chroma.shortage import named
from precedent_indexer.errors import IndexBroken, ResourceShortage

COMMAND: Final = "probe"
"""Hidden command of the console program that the child runs."""
_LEAST_S: Final = 10.0
_ROWS_PER_S: Final = 10_000
"""A probe has `_LEAST_S` seconds of CPU time, and one more for so many rows: many times what it needs. The limit ends
endless loops, which torn links of a graph can cause."""
_WAITS: Final = 6
"""Wall-clock time may be so many times the CPU time, on a busy machine or disk."""
_MAX_DETAIL: Final = 200
_BROKEN: Final = 4
"""Exit code of the child that found the generation broken; no interpreter and no library ends with it by itself."""
_FROM_OUTSIDE: Final = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that nothing in a generation can cause."""

log = structlog.get_logger(__name__)


async def probe(generation: Path, lock: int) -> str | None:
    """What is wrong with a generation; None if nothing is.

    Only a report of the child, or a fatal signal in it, counts against the generation.

    Args:
        generation: its directory.
        lock: descriptor of the lock on the index. The child inherits it, so that no other indexer opens the files
            before the child has ended, even if this process ends first.

    Raises:
        ResourceShortage: the child lacked a resource, was killed, or did not start: the generation was not probed.
    """
    log.info("index_probing", generation=generation.name)
    try:
        child = await asyncio.create_subprocess_exec(
            # -P: no module is imported from the current directory.
            *(sys.executable, "-P", "-m", "precedent_indexer", COMMAND, str(generation)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=(lock,),
        )
    except OSError as error:
        raise ResourceShortage(f"its probe cannot be started: {named(str(error)) or error.strerror}") from error
    try:
        # Not `communicate`, which would close the child's input: its end tells the child that this process has ended.
        said = await child.stderr.read() if child.stderr else b""
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return None if code == 0 else _verdict(code, said.decode(errors="replace"))


def _verdict(code: int, said: str) -> str:
    """What is wrong with the generation, by the exit code of its probe and what it said.

    Raises:
        ResourceShortage: as `probe`.
    """
    if -code in {signal.SIGPROF, signal.SIGALRM}:
        return "its probe came to no end"
    detail = said.strip().rpartition("\n")[2][:_MAX_DETAIL]
    if code == _BROKEN:
        return f"its probe failed: {detail}"
    lacking = named(said)
    if lacking is None and code < 0 and -code not in _FROM_OUTSIDE:
        return f"its probe was ended by signal {-code}"
    end = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    raise ResourceShortage(f"its probe {end}: {lacking or detail or 'it may have been out of memory'}")


def run_probe(generation: Path) -> None:
    """The child's part: exits with a code of its own where the generation is not sound."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _end_in_time(0)
    try:
        probe_files(generation, _end_in_time)
    except IndexBroken as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_BROKEN)


def _end_in_time(rows: int) -> None:
    """Set timers that end this process after the time for `rows` rows; signals also end a loop in Chroma's core."""
    seconds = _LEAST_S + rows / _ROWS_PER_S
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITS * seconds)


def _leave_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(2)
