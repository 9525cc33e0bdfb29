"""A person's terminal, with a home directory of its own: what a page shows is typed, and the output compared."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from harness.child_process import guarded, scrubbed_environment
from harness.compose import read_versions
from harness.console import first_missing
from harness.indexer_process import find_indexer
from harness.waits import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from harness.console import Step

NATS: Final = Path(__file__).resolve().parents[2] / "build" / "bin" / "nats"

# A command on a busy machine; those that wait for the index wait half a minute at most.
COMMAND_SECONDS: Final = 60.0

# Some commands say something else, or nothing, where they see no terminal.
_IN_A_TERMINAL: Final = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))"
_COLUMNS: Final = "stty cols 160 rows 50"
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def find_nats(executable: Path = NATS) -> Path:
    """The `nats` command that the pages are written for.

    Raises:
        FileNotFoundError: there is none; the message names the remedy.
    """
    if not os.access(executable, os.X_OK):
        version = read_versions()["NATS_CLI_VERSION"]
        raise FileNotFoundError(f"no nats command {version} at {executable}: run `make nats-cli` (it needs Go)")
    return executable


@dataclass(slots=True)
class Terminal:
    """Commands in one directory, each in a shell of its own.

    Attributes:
        folder: where they run, and their home.
        programs: what is found by its name before anything else.
        replaced: what a page says, and what it is here: addresses.
        variables: of the environment.
    """

    folder: Path
    programs: tuple[Path, ...] = field(default_factory=lambda: (find_indexer(),))
    replaced: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    _following: list[tuple[Step, asyncio.subprocess.Process, Path]] = field(default_factory=list)

    async def run(self, step: Step) -> None:
        """Type it, and compare what it prints with the page.

        Raises:
            AssertionError: it prints something else, or ends otherwise; with all that it printed.
        """
        process = await self._start(step.command, asyncio.subprocess.PIPE)
        try:
            said, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
        finally:
            _end(process)
        output = _plain(said)
        self._compare(step, output)
        # Only where the page shows an error may the command end with one.
        refused = any("nats: error" in line for line in step.printed)
        assert (process.returncode != 0) == refused, f"{step.where}: exit code {process.returncode}:\n{output}"

    async def follow(self, step: Step, is_heard: Callable[[str], Awaitable[None]]) -> None:
        """Type it and leave it running; `is_heard` asserts that the server knows who listens to the subject."""
        path = self.folder / f"follow-{len(self._following)}.txt"
        with path.open("wb") as file:
            process = await self._start(step.command, file.fileno())
        self._following.append((step, process, path))
        subject = shlex.split(step.command)[-1]
        await eventually(lambda: is_heard(subject), timeout=COMMAND_SECONDS)

    async def compare_followed(self) -> None:
        """Wait until everything that goes on has printed what the page shows of it."""
        for step, _, path in self._following:

            def has_printed(step: Step = step, path: Path = path) -> None:
                self._compare(step, _plain(path.read_bytes()))

            await eventually(has_printed, timeout=COMMAND_SECONDS)

    async def close(self) -> None:
        """End what goes on."""
        for _, process, _ in self._following:
            _end(process)
            await process.wait()

    async def _start(self, command: str, stdout: int) -> asyncio.subprocess.Process:
        path = os.pathsep.join([*(str(one.parent) for one in self.programs), os.environ["PATH"]])
        own = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder / "config"), "PATH": path}
        environment = scrubbed_environment({**own, **self.variables})
        typed = f"{_COLUMNS}; {self._here(command)}"
        return await asyncio.create_subprocess_exec(
            *guarded([sys.executable, "-c", _IN_A_TERMINAL, "bash", "-c", typed], environment),
            cwd=self.folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )

    def _here(self, text: str) -> str:
        for written, here in self.replaced.items():
            text = text.replace(written, here)
        return text

    def _compare(self, step: Step, output: str) -> None:
        missing = first_missing([self._here(line) for line in step.printed], output)
        said = f"{step.where}: `{step.command}` does not print, there, {missing!r}; it printed:\n{output}"
        assert missing is None, said


def _plain(said: bytes) -> str:
    return _COLOURS.sub("", said.decode())


def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
