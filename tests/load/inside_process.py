"""Programs of the benchmark that run in the indexer's environment, as child processes that end with it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from harness.child_process import ChildProcess, ProcessFailedError, scrubbed_environment
from harness.indexer_process import INDEXER

INDEXER_PYTHON: Final = INDEXER.parent / "python"
INSIDE: Final = Path(__file__).parent / "inside"
PEER: Final = Path(__file__).parent / "peer"
_REPORT_EVERY_S: Final = 20.0
_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@contextlib.asynccontextmanager
async def running(
    program: Path, arguments: Sequence[object], folder: Path, env: Mapping[str, str] = _NOTHING
) -> AsyncIterator[ChildProcess]:
    """The program for as long as the block runs; then SIGTERM, and SIGKILL where that does not end it."""
    process = ChildProcess(program.stem, folder / f"{program.stem}.log")
    process.spawn([INDEXER_PYTHON, program, *map(str, arguments)], scrubbed_environment(env))
    try:
        yield process
    except Exception as error:
        error.add_note(f"{process.name} said:\n{process.log_tail()}")
        raise
    finally:
        process.ask_to_stop()
        await asyncio.to_thread(process.wait, 5.0)
        process.kill()


async def run_to_end(
    program: Path,
    arguments: Sequence[object],
    folder: Path,
    tell: Callable[[str], None],
    env: Mapping[str, str] = _NOTHING,
) -> dict[str, Any]:
    """Run a program that writes one JSON object to the path it is given last; the object.

    What it said last is told now and then.

    Raises:
        ProcessFailedError: it failed; with its last lines.
    """
    answer = folder / f"{program.stem}.json"
    answer.unlink(missing_ok=True)
    async with running(program, [*arguments, answer], folder, env) as process:
        while (code := await asyncio.to_thread(process.wait, _REPORT_EVERY_S)) is None:
            tell(f"  {process.log_tail(1)}")
        if code != 0:
            raise ProcessFailedError(f"{program.name} ended with exit code {code}")
    found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found
