"""nats-server and the indexer on this machine, in one directory, for the demonstration and for `make up`."""

import asyncio
import contextlib
import fcntl
import shutil
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer

SYNCED: Final = "jetstream {sync_interval: always}"
"""Configuration of a server whose log is kept: an acknowledged event is on the disk."""


class StackRefused(Exception):
    """The stack cannot start or its data cannot be removed; the message names the reason and the remedy."""


def check_port(port: int) -> None:
    """Refuse a port that another process listens on.

    Raises:
        StackRefused: The port is taken; names the setting that moves it.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StackRefused(
                f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): stop the process that listens there, "
                f"or choose another port: make up UP_PORT={port + 1}"
            ) from error


@contextlib.contextmanager
def only_user(directory: Path) -> Iterator[None]:
    """Hold the directory's lock: nats-server itself does not notice a second server on one store.

    Raises:
        StackRefused: Another `make up` uses the directory.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackRefused(
                f"{directory} is in use by another `make up`: stop that one with Ctrl-C, "
                f"or choose another directory: make up UP_DATA=data/other"
            ) from error
        yield


def forget(directory: Path) -> bool:
    """Remove log and index from the directory, whose lock the caller holds; whether there were any.

    Only what `running` makes is removed: the directory may be the user's own choice.
    """
    parts = [part for part in (directory / "jetstream", directory / "chroma") if part.exists()]
    for part in parts:
        shutil.rmtree(part)
    for log in ("nats-server.log", "indexer.log"):
        (directory / log).unlink(missing_ok=True)
    return bool(parts)


@contextlib.asynccontextmanager
async def running(
    directory: Path, console: Console, *, port: int | None = None, config: str = ""
) -> AsyncIterator[str]:
    """nats-server and the indexer with their data in the directory; their URL. Both have ended when the block ends.

    Args:
        directory: Holds the log (`jetstream`), the index (`chroma`) and what both processes print.
        console: Where each step and its seconds are printed.
        port: The server's port; by default a free one.
        config: Further configuration of the server.
    """
    server = NatsServer(directory / "jetstream", port=port, config=config, log_path=directory / "nats-server.log")
    indexer: IndexerProcess | None = None
    async with contextlib.AsyncExitStack() as stack:
        with step(console, "starting nats-server, which keeps the log"):
            await asyncio.to_thread(server.start)
            stack.callback(server.stop)
        with step(console, "starting the indexer, which loads the model"):
            indexer = IndexerProcess(server.url, directory / "chroma", log_path=directory / "indexer.log")
            await stack.enter_async_context(indexer)
        yield server.url


@contextlib.contextmanager
def step(console: Console, what: str) -> Iterator[None]:
    """Print what is done before it is done, and how long it took afterwards."""
    started = time.monotonic()
    with console.status(f"{what} …") if console.is_terminal else contextlib.nullcontext():
        if not console.is_terminal:
            console.print(f"{what} …")
        yield
    console.print(f"{what}: {time.monotonic() - started:.1f} s", highlight=False)
