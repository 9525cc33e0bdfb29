"""What our processes connect to and write, seen from inside of a network namespace of their own.

`unshare --net python sealed.py FOLDER` runs a server, the indexer with each runtime, `build-model` and the command
`precedent`, with an empty home and an empty temporary directory in FOLDER, and prints the report as JSON.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from isolation.inside.network import Destinations, route_everything_to_loopback

from harness.child_process import scrubbed_environment
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from harness.wire import Wire

PRECEDENT = Path(__file__).resolve().parents[3] / "services" / "backend-adapter" / ".venv" / "bin" / "precedent"
RUNTIMES = ("onnxruntime", "openvino")


async def ask(url: str) -> None:
    """Five events and five questions."""
    async with Wire.connected(url) as wire:
        for number in range(5):
            seq = await wire.event("incidents", f"the router {number} restarts again and again")
        for number in range(5):
            await wire.search("incidents", text=f"a router that restarts, {number} of five", min_seq=seq)


def ask_by_command(where: dict[str, str]) -> None:
    """One question by the adapter's command."""
    command = [str(PRECEDENT), "search", "a router"]
    subprocess.run(command, env=scrubbed_environment(where), check=True, capture_output=True)


async def use(server: NatsServer, folder: Path) -> None:
    """Run everything once."""
    for runtime in RUNTIMES:
        settings = {"PRECEDENT_RUNTIME": runtime, "PRECEDENT_METRICS_PORT": "0"}
        log = folder / f"{runtime}.log"
        async with IndexerProcess(server.url, folder / f"chroma-{runtime}", env=settings, log_path=log):
            await ask(server.url)
            where = {"NATS_URL": server.url}
            ask_by_command(where)
            run_indexer_command(["health"], where).check_returncode()
        # The next index is another one: only the log's own consumer stands in its way.
        async with Wire.connected(server.url) as wire:
            await wire.api("CONSUMER.DELETE.SECURITY_EVENTS.indexer")
    run_indexer_command(["build-model", "--target", str(folder / "model")]).check_returncode()


def main(folder: Path) -> None:
    """Print what was connected to and written."""
    route_everything_to_loopback()
    empty = [folder / name for name in ("home", "tmp", "here")]
    for one in empty:
        one.mkdir()
    os.environ.update(HOME=str(empty[0]), TMPDIR=str(empty[1]))
    os.chdir(empty[2])
    destinations = Destinations()
    destinations.watch()
    with NatsServer(folder / "jetstream", log_path=folder / "server.log") as server:
        port = int(server.url.rpartition(":")[2])
        asyncio.run(use(server, folder))
    report = {
        "named": ["tcp", "127.0.0.1", port],
        "destinations": sorted(destinations.seen),
        "files": sorted(str(path.relative_to(folder)) for one in empty for path in one.rglob("*")),
    }
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
