"""`make up`: nats-server and the indexer on one port until Ctrl-C, with the log and the index kept in a directory."""

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

import filling
import local_stack
import screens
from precedent_backend_adapter import Precedent

PORT: Final = 4222


async def up(directory: Path, port: int, console: Console, *, with_events: bool) -> None:
    """Run until SIGINT or SIGTERM.

    Raises:
        StackRefused: The port or the directory is in use.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    local_stack.check_port(port)
    kept = (directory / "jetstream" / "jetstream").exists()
    async with local_stack.running(directory, console, port=port, config=local_stack.SYNCED) as url:
        async with Precedent.connect(url) as precedent:
            console.print(await contents(precedent, directory, kept=kept), soft_wrap=True, highlight=False)
            if with_events and await filling.is_filled(precedent):
                console.print("the demonstration's events are there already")
            elif with_events:
                await filling.fill(precedent, console)
        screens.type_next(console, url)
        console.print(f"running on {url}; Ctrl-C ends it and keeps {directory}", soft_wrap=True, highlight=False)
        await stopped.wait()
        console.print("stopping …")


async def contents(precedent: Precedent, directory: Path, *, kept: bool) -> str:
    """One line: what the log has before anything is published here."""
    messages = (await precedent.stats()).stream.messages
    if not kept:
        return f"new and empty, in {directory}; the demonstration's events: make up DEMO=1"
    count = "1 message" if messages == 1 else f"{messages} messages"
    # With the directory: without it, the command would forget the log in the default one.
    return f"kept from before, in {directory}: {count} in the log; to forget: make up-clean UP_DATA={directory}"


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="where the log and the index are kept")
    parser.add_argument("--port", type=int, default=PORT, help="the server's port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--demo", action="store_true", help="publish the demonstration's events")
    parser.add_argument("--fresh", action="store_true", help="forget what the directory has, then start")
    parser.add_argument("--clean", action="store_true", help="forget what the directory has, and end")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        with local_stack.only_user(given.directory):
            if given.fresh or given.clean:
                had = local_stack.forget(given.directory)
                console.print(f"{given.directory}: {'forgotten' if had else 'nothing to forget'}", highlight=False)
            if not given.clean:
                asyncio.run(up(given.directory, given.port, console, with_events=given.demo))
    except local_stack.StackRefused as refusal:
        print(refusal, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
