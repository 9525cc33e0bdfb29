"""A container engine: the one that answers, else one of the test's own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.child_process import ChildProcess, scrubbed_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Covers the engine's own set-up of storage and network.
START_SECONDS = 60.0

# Containers are stopped before; what is left are the engine's own files.
STOP_SECONDS = 30.0

# Variables that say where the engine is and how to reach it.
_ENGINE_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY")

_POLL_SECONDS = 0.1
_REMEDY = (
    "install an engine, or the packages docker.io, docker-compose and debootstrap of Debian: "
    "one is then started for the test, by root"
)


class EngineError(RuntimeError):
    """A command of the engine failed, or there is no engine; the message has its own words, or the remedy."""


class Engine:
    """Commands to one container engine.

    Args:
        variables: What its commands see beside the few inherited variables.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._environment = scrubbed_environment(variables)

    def docker(self, *args: str | Path, timeout: float = 120.0) -> str:
        """Run `docker` with `args` and return what it printed, without the white space around it.

        Raises:
            EngineError: It failed or did not end within `timeout` seconds.
        """
        return self.run(["docker", *args], timeout=timeout)

    def run(
        self,
        command: list[str | Path],
        *,
        timeout: float,
        variables: Mapping[str, str] | None = None,
        with_stderr: bool = False,
    ) -> str:
        """Run any command against this engine; the same promises as `docker`.

        Args:
            command: The program and its arguments.
            timeout: Seconds until it must have ended.
            variables: What it sees beside what every command to this engine does.
            with_stderr: Whether what it wrote to standard error is returned after the rest.
        """
        words = " ".join(map(str, command))
        try:
            done = subprocess.run(
                command,
                env={**self._environment, **(variables or {})},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"`{words}` did not end within {timeout:g} s; it said:\n{_said(error)}") from error
        if done.returncode != 0:
            raise EngineError(f"`{words}` ended with {done.returncode}; it said:\n{done.stdout}{done.stderr}")
        return (done.stdout + done.stderr if with_stderr else done.stdout).strip()

    def has_image(self, name: str) -> bool:
        """Whether the engine has it already."""
        try:
            self.docker("image", "inspect", name)
        except EngineError:
            return False
        return True


def _said(error: subprocess.TimeoutExpired) -> str:
    parts = (error.stdout or b"", error.stderr or b"")
    return "".join(one.decode(errors="replace") if isinstance(one, bytes) else one for one in parts)


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """The engine that answers; where none does, one that lives as long as the context.

    One of our own keeps nothing: its images and volumes end with it. The network rules that it sets stay, as they do
    after any engine.

    Raises:
        EngineError: There is none, and none can be started; with the remedy.
    """
    if shutil.which("docker") is None:
        raise EngineError(f"there is no command `docker`: {_REMEDY}")
    given = Engine({name: os.environ[name] for name in _ENGINE_VARIABLES if name in os.environ})
    try:
        given.docker("version", timeout=30.0)
    except EngineError as error:
        if shutil.which("dockerd") is None or os.geteuid() != 0:
            raise EngineError(f"no container engine answers: {_REMEDY}\n{error}") from error
    else:
        yield given
        return
    with _own_engine() as own:
        yield own


@contextlib.contextmanager
def _own_engine() -> Iterator[Engine]:
    # Not below /tmp, which may be held in memory: images take gigabytes.
    folder = Path(tempfile.mkdtemp(prefix="precedent-engine-", dir="/var/tmp"))
    socket = folder / "docker.sock"
    process = ChildProcess("dockerd", folder / "dockerd.log")
    command: list[str | Path] = [shutil.which("dockerd") or "dockerd", "--host", f"unix://{socket}"]
    command += ["--data-root", folder / "data", "--exec-root", folder / "exec", "--pidfile", folder / "pid"]
    try:
        process.spawn(command, scrubbed_environment({}))
        engine = Engine({"DOCKER_HOST": f"unix://{socket}"})
        _wait_until_it_answers(engine, process)
        yield engine
    finally:
        process.ask_to_stop()
        process.wait(STOP_SECONDS)
        process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_it_answers(engine: Engine, process: ChildProcess) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            engine.docker("version", timeout=5.0)
        except EngineError as error:
            if process.running and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            raise EngineError(f"dockerd was started and does not answer; it said:\n{process.log_tail()}") from error
        return
