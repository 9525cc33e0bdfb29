"""The indexer as it is deployed: its own program, in its own environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import tempfile
import time
import weakref
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import nats.errors
from nats.aio.client import Client

from harness.child_process import ChildProcess, ProcessFailedError, guarded, scrubbed_environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVICE_NAME = "indexer"

INDEXER = Path(__file__).resolve().parents[2] / "services" / "indexer" / ".venv" / "bin" / "precedent-indexer"

# Covers loading the model on a busy machine.
READY_SECONDS = 60.0

# The indexer's own promise after SIGTERM.
TERMINATE_SECONDS = 10.0

# How long the instances that exist have to answer one PING before the next is sent.
_PING_SECONDS = 0.25
_CONNECT_SECONDS = 1
_POLL_SECONDS = 0.02

_NOTHING: Mapping[str, str] = MappingProxyType({})


def find_indexer(executable: Path = INDEXER) -> Path:
    """Return the path of the indexer's console command.

    Raises:
        FileNotFoundError: It is not installed; the message names the remedy.
    """
    if not os.access(executable, os.X_OK):
        raise FileNotFoundError(f"no indexer at {executable}: run `make setup`")
    return executable.absolute()


def run_indexer_command(
    args: Sequence[str],
    env: Mapping[str, str] = _NOTHING,
    timeout: float = 60.0,
    *,
    executable: Path = INDEXER,
) -> subprocess.CompletedProcess[str]:
    """Run `precedent-indexer <args>` to its end, in a scrubbed environment plus `env`.

    It blocks; where an event loop must go on meanwhile (a relay, a backend), call it by `asyncio.to_thread`.

    Raises:
        FileNotFoundError: The indexer is not installed.
        ProcessFailedError: It did not end within `timeout` seconds; with its output. It is killed.
    """
    environment = scrubbed_environment(env)
    command = guarded([find_indexer(executable), *args], environment)
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            out, err = process.communicate()
            said = (out + err).decode(errors="replace")
            message = f"precedent-indexer {' '.join(args)} did not end within {timeout:g} s; it said:\n{said}"
            raise ProcessFailedError(message) from error
        except BaseException:
            process.kill()
            raise
    stdout, stderr = out.decode(errors="replace"), err.decode(errors="replace")
    return subprocess.CompletedProcess([str(executable), *args], process.returncode, stdout, stderr)


class IndexerProcess:
    """One `precedent-indexer serve`; as an async context manager it is started, ready, and ended.

    Args:
        nats_url: What the indexer connects to; may be a relay.
        chroma_path: Its index directory.
        env: Further variables. Nothing else is inherited but PATH, HOME, LANG and TMPDIR.
        log_path: Receives its output; by default a temporary file that goes with the object.
        executable: The console command.
        probe_url: Where `wait_ready` asks, when that is not `nats_url`.
        probe_options: Keyword arguments for the connection of `wait_ready` (credentials, TLS ...).
        ready_timeout: Seconds that the context manager waits for readiness.
    """

    def __init__(
        self,
        nats_url: str,
        chroma_path: Path,
        *,
        env: Mapping[str, str] = _NOTHING,
        log_path: Path | None = None,
        executable: Path = INDEXER,
        probe_url: str | None = None,
        probe_options: Mapping[str, Any] = _NOTHING,
        ready_timeout: float = READY_SECONDS,
    ) -> None:
        self.nats_url = nats_url
        self.chroma_path = chroma_path
        self._env = dict(env)
        self._executable = executable
        self._probe_url = probe_url or nats_url
        self._probe_options = dict(probe_options)
        self._ready_timeout = ready_timeout
        if log_path is None:
            handle, name = tempfile.mkstemp(prefix="precedent-indexer-", suffix=".log")
            os.close(handle)
            log_path = Path(name)
            weakref.finalize(self, log_path.unlink, missing_ok=True)
        self._process = ChildProcess("precedent-indexer", log_path)

    def start(self) -> None:
        """Start the process; it may be started again after it ended.

        Raises:
            FileNotFoundError: The indexer is not installed.
            RuntimeError: It is already running.
        """
        env = {
            "NATS_URL": self.nats_url,
            "PRECEDENT_CHROMA_PATH": str(self.chroma_path),
            "PRECEDENT_LOG_FORMAT": "json",
            **self._env,
        }
        self._process.spawn([find_indexer(self._executable), "serve"], scrubbed_environment(env))

    async def wait_ready(self, timeout: float = READY_SECONDS) -> None:  # noqa: ASYNC109 (ends in its own message)
        """Wait until this very process answers the service's PING, over NATS.

        A reply whose metadata has a `pid` must have this process's; one without is taken as its own.

        Raises:
            ProcessFailedError: It ended first, or did not answer in time; with its last log lines.
        """
        last: Exception | None = None
        now = asyncio.get_running_loop().time
        deadline = now() + timeout
        while now() < deadline:
            self._raise_if_ended()
            try:
                return await self._ask(deadline)
            except (OSError, nats.errors.Error) as error:
                # TimeoutError is an OSError. Without a server there is nobody to ask yet.
                last = error
                await asyncio.sleep(_POLL_SECONDS)
        why = f" (last failure to ask: {type(last).__name__}: {last})" if last else ""
        message = f"precedent-indexer (pid {self.pid}) did not answer at {self._probe_url} within {timeout:g} s"
        raise ProcessFailedError(f"{message}{why}; it said:\n{self.log_tail()}") from last

    async def wait_exit(self, timeout: float) -> int:  # noqa: ASYNC109 (ends in its own message)
        """Wait until the process ends by itself and return its exit code, negative for a signal.

        Raises:
            ProcessFailedError: It still runs after `timeout` seconds; it is left running.
        """
        deadline = time.monotonic() + timeout
        while (code := self.returncode) is None:
            if time.monotonic() >= deadline:
                message = f"precedent-indexer (pid {self.pid}) did not end within {timeout:g} s"
                raise ProcessFailedError(f"{message}; it said:\n{self.log_tail()}")
            await asyncio.sleep(_POLL_SECONDS)
        return code

    async def terminate(self, timeout: float = TERMINATE_SECONDS) -> int:  # noqa: ASYNC109 (its own message)
        """Send SIGTERM (a paused process is resumed) and return the exit code; the old one if it had ended.

        Raises:
            ProcessFailedError: It did not end within `timeout` seconds; it is killed.
            RuntimeError: It was never started.
        """
        pid = self.pid
        self._process.ask_to_stop()
        try:
            return await self.wait_exit(timeout)
        except ProcessFailedError as error:
            message = f"precedent-indexer (pid {pid}) ignored SIGTERM for {timeout:g} s and was killed"
            raise ProcessFailedError(f"{message}; it said:\n{self.log_tail()}") from error
        finally:
            # Also when the waiting itself is cancelled.
            self._process.kill()

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would; nothing when it has ended."""
        self._process.kill()

    def pause(self) -> None:
        """Freeze the process (SIGSTOP): its connections stay open and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Continue a paused process."""
        self._process.resume()

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while running or never started."""
        return self._process.returncode

    def logs(self) -> list[dict[str, Any]]:
        """The log entries of all starts so far, oldest first; lines that are no JSON object are left out."""
        entries = []
        for line in self._process.log_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                entry = json.loads(line)
                if isinstance(entry, dict):
                    entries.append(entry)
        return entries

    def log_tail(self, lines: int = 30) -> str:
        """The last lines of its output, JSON or not."""
        return self._process.log_tail(lines)

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await self.wait_ready(self._ready_timeout)
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"precedent-indexer (pid {self.pid}) said:\n{self.log_tail()}")
        await self.terminate()

    def _raise_if_ended(self) -> None:
        if self.returncode is not None:
            message = f"precedent-indexer ended with exit code {self.returncode} before it was ready"
            raise ProcessFailedError(f"{message}; it said:\n{self.log_tail()}")

    async def _ask(self, deadline: float) -> None:
        client = Client()
        try:
            async with asyncio.timeout_at(deadline):
                await client.connect(
                    self._probe_url,
                    allow_reconnect=False,
                    # The client would go on trying by itself, and the end of the process go unnoticed meanwhile.
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    connect_timeout=_CONNECT_SECONDS,
                    error_cb=_unheard,
                    **self._probe_options,
                )
                await self._ping(client)
        finally:
            # Outside the deadline: a close that is cancelled half-way leaves its socket open.
            await client.close()

    async def _ping(self, client: Client) -> None:
        inbox = client.new_inbox()
        replies = await client.subscribe(inbox)
        while True:
            self._raise_if_ended()
            await client.publish(f"$SRV.PING.{SERVICE_NAME}", reply=inbox)
            with contextlib.suppress(nats.errors.TimeoutError):
                while not self._is_own((await replies.next_msg(timeout=_PING_SECONDS)).data):
                    pass  # Another instance, or the server saying that there is none.
                return

    def _is_own(self, reply: bytes) -> bool:
        try:
            ping = json.loads(reply)
        except ValueError:
            return False
        if not isinstance(ping, dict) or ping.get("name") != SERVICE_NAME:
            return False
        return str((ping.get("metadata") or {}).get("pid", self.pid)) == str(self.pid)


async def _unheard(_: Exception) -> None:
    """Leave the client's own errors unlogged: those that matter are raised as well."""
