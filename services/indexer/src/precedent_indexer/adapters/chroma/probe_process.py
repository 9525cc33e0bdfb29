"""A generation looked at by a process of its own: a broken segment can end whoever reads it.

Nobody else may have its files open meanwhile.
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

COMMAND: Final = "probe"
"""Hidden command of the console program: the child's part."""
_LEAST_S: Final = 10.0
_ROWS_PER_S: Final = 10_000
"""A look computes for at most `_LEAST_S` and a second for so many rows, many times what it takes: torn links of a graph
can lead round in circles."""
_WAITS: Final = 6
"""Of a busy machine or disk: so many times as long may pass meanwhile."""
_MAX_DETAIL: Final = 200

log = structlog.get_logger(__name__)


async def probe(generation: Path, lock: int) -> str | None:
    """What is wrong with a generation; None where nothing is.

    Args:
        generation: its directory.
        lock: the descriptor that keeps the index locked; the child holds it too, so that no other indexer opens the
            files before the child has left them, whatever becomes of this process.
    """
    log.info("index_probing", generation=generation.name)
    child = await asyncio.create_subprocess_exec(
        # -P: nothing of the directory that we happen to be in is taken for a module.
        *(sys.executable, "-P", "-m", "precedent_indexer", COMMAND, str(generation)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(lock,),
    )
    try:
        # Not `communicate`, which would close its input: that is how it learns that nobody waits for it any more.
        said = await child.stderr.read() if child.stderr else b""
        code = await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code == 0:
        return None
    if -code in {signal.SIGPROF, signal.SIGALRM}:
        return "its probe came to no end"
    detail = said.decode(errors="replace").strip().rpartition("\n")[2][:_MAX_DETAIL]
    return f"its probe failed: {detail}" if code > 0 else f"its probe was ended by signal {-code}"


def run_probe(generation: Path) -> None:
    """The child's part.

    Raises:
        IndexBroken: the generation is not sound.
    """
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _end_in_time(0)
    probe_files(generation, _end_in_time)


def _end_in_time(rows: int) -> None:
    """From now on this process may look at so many rows; its end comes from outside, since Chroma listens to nobody."""
    seconds = _LEAST_S + rows / _ROWS_PER_S
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITS * seconds)


def _leave_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(2)
