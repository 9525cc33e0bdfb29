"""What the tests of the harness share: a stand-in for the indexer, and two words to a server."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nats

if TYPE_CHECKING:
    from nats.aio.client import Client

# The smallest thing that answers as the service does, without any dependency of its own.
ANSWERING_STUB = """
import json, os, signal, socket, sys
from urllib.parse import urlsplit
signal.signal(signal.SIGTERM, lambda *_: (print(json.dumps({"event": "stopped"}), flush=True), os._exit(0)))
url = urlsplit(os.environ["NATS_URL"])
link = socket.create_connection((url.hostname, url.port))
wire = link.makefile("rw", newline="\\r\\n")
def send(text):
    wire.write(text)
    wire.flush()
wire.readline()
send('CONNECT {"verbose": false}\\nSUB $SRV.PING.indexer 1\\n')
print("not JSON", flush=True)
print(json.dumps({"event": "listening"}), flush=True)
pid = os.environ.get("PID") or str(os.getpid())
ping = {"name": "indexer", "id": "x", "version": "0.0.0", "metadata": {"pid": pid}}
while line := wire.readline():
    words = line.split()
    if words[:1] == ["PING"]:
        send("PONG\\n")
    elif words[:1] == ["MSG"]:
        wire.readline()
        body = json.dumps(ping)
        print(json.dumps({"event": "answered"}), flush=True)
        send(f"PUB {words[3]} {len(body)}\\n{body}\\n")
"""


async def connect(url: str) -> Client:
    """Connect without the client's own patience, which would hide what the harness does."""
    return await nats.connect(url, allow_reconnect=False, connect_timeout=5)


async def ask(client: Client, timeout: float) -> None:  # noqa: ASYNC109 (the client's own)
    """Make one round trip. Not by flush: a PONG that comes too late ends the client's read loop."""
    await client.request("$JS.API.INFO", timeout=timeout)


def stub(folder: Path, body: str) -> Path:
    """Write an executable Python script with the given body."""
    path = folder / "stub-indexer"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(0o755)
    return path


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        # Just gone on Linux; on a system without /proc the signal was all there is to know.
        return sys.platform != "linux"
    return state != "Z"


# nats-server
