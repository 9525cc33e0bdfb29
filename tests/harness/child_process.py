"""One child process that cannot outlive the process that started it."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# What a child inherits. Anything else (VIRTUAL_ENV, PYTHONPATH, UV_*, PIP_* ...) could let the environment of
# the tests leak into the child and hide a missing dependency there.
INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR")

# Between SIGTERM and SIGKILL for a child that should be gone at once.
POLITE_SECONDS = 10.0

_POLL_SECONDS = 0.02

# Linux can kill a child when its parent dies, but the child itself must ask for it. This is asked by a small
# program that then becomes the real one (same pid), because subprocess's preexec_fn is unsafe beside threads.
# It undoes what an interpreter does to its process: ignored signals and a coerced locale survive exec.
_GUARD = """
import ctypes, os, signal, sys
parent, keep_lc_ctype, command = int(sys.argv[1]), sys.argv[2] == "1", sys.argv[3:]
PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)) != 0:
    sys.exit("prctl(PR_SET_PDEATHSIG) failed: " + os.strerror(ctypes.get_errno()))
if os.getppid() != parent:
    sys.exit("the parent died before the child started")
for name in ("SIGPIPE", "SIGXFSZ"):
    signal.signal(getattr(signal, name), signal.SIG_DFL)
if not keep_lc_ctype:
    os.environ.pop("LC_CTYPE", None)
os.execv(command[0], command)
"""


class ProcessFailedError(RuntimeError):
    """A child process ended, or did not become ready, and its last log lines say why."""


def scrubbed_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return the few inherited variables, overlaid with `extra`."""
    inherited = {name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ}
    return {**inherited, **extra}


def guarded(command: Sequence[str | Path], env: Mapping[str, str]) -> list[str]:
    """Return `command` such that it dies with this process, where that can be had.

    That is on Linux and from the main thread, because Linux ties a child to the *thread* that started it.

    Args:
        command: An absolute path and its arguments.
        env: The environment that the command will be given.
    """
    words = [os.fspath(word) for word in command]
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return words
    keep_lc_ctype = "1" if "LC_CTYPE" in env else "0"
    return [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), keep_lc_ctype, *words]


class ChildProcess:
    """A program in its own process group, with its output appended to a log file.

    It dies with its parent: at a normal exit by an atexit hook, and when the parent is killed as far as
    `guarded` can see to it. Descendants of the child are killed with it when the parent notices its end, not
    when the parent is killed.

    Args:
        name: How errors call the program.
        log_path: Receives stdout and stderr; appended to, parent folders are created.
    """

    def __init__(self, name: str, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._popen: subprocess.Popen[bytes] | None = None
        self._paused = False
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log_path.stat().st_size if log_path.exists() else 0
        self._run_start = self._log_start

    def spawn(self, command: Sequence[str | Path], env: Mapping[str, str]) -> None:
        """Start the program, in exactly the environment `env`.

        Raises:
            RuntimeError: It is already running.
            OSError: The program could not be started.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is already running (pid {self.pid}); stop it first")
        with self.log_path.open("ab") as log:
            self._run_start = log.tell()
            self._paused = False
            self._popen = subprocess.Popen(
                guarded(command, env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                start_new_session=True,
            )
        _live.add(self)

    @property
    def pid(self) -> int:
        """The process id of the last start.

        Raises:
            RuntimeError: It was never started.
        """
        return self._started().pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while running or never started."""
        if self._popen is None:
            return None
        code = self._popen.poll()
        if code is not None and self in _live:
            _live.discard(self)
            self._kill_group()
        return code

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._popen is not None and self.returncode is None

    @property
    def paused(self) -> bool:
        """Whether it was stopped by `pause` and not resumed."""
        return self._paused

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself, not to its group; nothing when it has ended."""
        if self.running:
            self._started().send_signal(number)

    def ask_to_stop(self) -> None:
        """Send SIGTERM; a paused process is resumed, since it could not act on the signal otherwise."""
        self.send(signal.SIGTERM)
        self.resume()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open and nothing answers.

        Raises:
            ProcessFailedError: It is not running, so there is nothing to freeze.
        """
        if not self.running:
            raise ProcessFailedError(f"{self.name} cannot be paused: it is not running\n{self.log_tail()}")
        self.send(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Continue a paused process (SIGCONT); nothing when it is not paused."""
        if self._paused:
            self.send(signal.SIGCONT)
            self._paused = False

    def kill(self) -> None:
        """End the process and its group with SIGKILL, and reap it; nothing when it has ended."""
        if self.running:
            self._kill_group()
            self._started().wait()
            _live.discard(self)

    def wait(self, timeout: float) -> int | None:
        """Block until it ends, at most `timeout` seconds; return the exit code, None when still running."""
        deadline = time.monotonic() + timeout
        while (code := self.returncode) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return code

    def log_text(self, *, this_run: bool = False) -> str:
        """Everything logged through this object, or only since the last `spawn`."""
        if not self.log_path.exists():
            return ""
        with self.log_path.open("rb") as log:
            log.seek(self._run_start if this_run else self._log_start)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of the log, or a remark that there are none."""
        tail = self.log_text().splitlines()[-lines:]
        return "\n".join(tail) if tail else f"(nothing in {self.log_path})"

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            raise RuntimeError(f"{self.name} was never started; call start()")
        return self._popen

    def _kill_group(self) -> None:
        try:
            os.killpg(self._started().pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            # The group is empty; macOS reports a group of zombies as a missing permission.
            return


_live: weakref.WeakSet[ChildProcess] = weakref.WeakSet()
_owner = os.getpid()


@atexit.register
def _kill_all() -> None:
    # A fork of the test process inherits this hook, but the children are not its own to kill.
    if os.getpid() == _owner:
        for child in list(_live):
            child.kill()
