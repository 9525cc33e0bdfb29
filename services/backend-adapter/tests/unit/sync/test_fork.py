"""The synchronous client over a wire, before and after its process forks."""

import asyncio
import os
import subprocess
import sys

import pytest
from scripted_server import acknowledged, quiet, server

from precedent_backend_adapter import Config, Timeouts, Unavailable
from precedent_backend_adapter.sync import Precedent

FORKING = """
import os, sys, warnings
from precedent_backend_adapter import SecurityEvent
from precedent_backend_adapter.sync import Precedent

# As Python warns, a fork with threads is dangerous: those of this package must not be what makes it so.
warnings.simplefilter("ignore", DeprecationWarning)
event = SecurityEvent(kind="auth", text="failed login")
lazy = Precedent.connect(sys.argv[1], lazy=True)
eager = Precedent.connect(sys.argv[1])
eager.publish(event)
children = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert lazy.publish(event).seq == eager.publish(event).seq == 3
            lazy.close()
            status = 0
        finally:
            os._exit(status)
    children.append(child)
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
eager.publish(event)
eager.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
async def test_each_forked_process_has_a_connection_of_its_own() -> None:
    """Workers that are forked from a process with open or lazy clients publish, and their parent goes on publishing."""
    async with server(lambda line, to: acknowledged(to, 3) if line.startswith(b"HPUB") else b"") as (url, heard):
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", FORKING, url],
            capture_output=True,
            text=True,
            timeout=50,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(line.startswith(b"CONNECT") for line in heard) == 5
    assert sum(line.startswith(b"HPUB") for line in heard) == 6


async def test_without_a_server_it_fails_as_the_asynchronous_client() -> None:
    """Where it is connected, and with `lazy` where it is called."""
    async with server(quiet) as (url, _):
        pass
    config = Config(timeouts=Timeouts(connect=0.5, question=600))
    with pytest.raises(Unavailable):
        await asyncio.to_thread(Precedent.connect, url, config=config)
    with Precedent.connect(url, config=config, lazy=True) as precedent, pytest.raises(Unavailable):
        await asyncio.to_thread(precedent.stats)
