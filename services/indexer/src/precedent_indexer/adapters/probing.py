"""A generation looked at by a process of its own: a broken segment can end whoever reads it.

Nobody else may have its files open meanwhile.
"""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Final

from precedent_indexer.adapters.chroma_probe import probe_files

COMMAND: Final = "probe"
"""Hidden command of the console program: the child's part."""
_TIMEOUT_S: Final = 120.0
"""Seconds after which a generation counts as broken: many times what a million events take."""
_MAX_DETAIL: Final = 200


async def probe(generation: Path, lock: int, timeout_s: float = _TIMEOUT_S) -> str | None:
    """What is wrong with a generation; None where nothing is.

    Args:
        generation: its directory.
        lock: the descriptor that keeps the index locked; the child holds it too, so that no other indexer opens the
            files before the child has left them, whatever becomes of this process.
        timeout_s: seconds that the child may take.
    """
    child = await asyncio.create_subprocess_exec(
        # -P: nothing of the directory that we happen to be in is taken for a module.
        *(sys.executable, "-P", "-m", "precedent_indexer", COMMAND, str(generation)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(lock,),
    )
    try:
        async with asyncio.timeout(timeout_s):
            # Not `communicate`, which would close its input: that is how it learns that nobody waits for it any more.
            said = await child.stderr.read() if child.stderr else b""
            code = await child.wait()
    except TimeoutError:
        return f"its probe did not end within {timeout_s:g} s"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if code == 0:
        return None
    detail = said.decode(errors="replace").strip().rpartition("\n")[2][:_MAX_DETAIL]
    return f"its probe failed: {detail}" if code > 0 else f"its probe was ended by signal {-code}"


def run_probe(generation: Path) -> None:
    """The child's part.

    Raises:
        IndexBroken: the generation is not sound.
    """
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    probe_files(generation)


def _leave_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(2)
