"""No process of ours opens a connection or writes a file that its settings do not name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.child_process import scrubbed_environment

INSIDE = Path(__file__).parent / "inside"
TESTS = INSIDE.parents[1]


def sealed(program: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program of this environment in a network namespace of its own."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.fail("a network namespace needs the command unshare: apt-get install util-linux", pytrace=False)
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return subprocess.run(
        [unshare, *as_root, "--net", sys.executable, "-B", str(program), *args],
        env=scrubbed_environment({"PYTHONPATH": str(TESTS)}),
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )


@pytest.mark.timeout(240)
def test_nothing_is_connected_to_or_written_but_what_the_settings_name(tmp_path: Path) -> None:
    """Indexer (each runtime), commands and `build-model` connect to the NATS server alone, and write only where told.

    Packets show what native libraries send, too, and a look-up of a name is a packet.
    """
    done = sealed(INSIDE / "sealed.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["files"] == []
    assert report["destinations"] == [report["named"]]


def test_the_watch_sees_a_connection_and_a_look_up(tmp_path: Path) -> None:
    """The other test is not green because nothing is seen: a connection and a datagram to foreign addresses show."""
    program = tmp_path / "calls.py"
    program.write_text(
        "import json, socket, sys, time\n"
        "from isolation.inside import network\n"
        "network.route_everything_to_loopback()\n"
        "watch = network.Destinations()\n"
        "watch.watch()\n"
        "caller = socket.socket()\n"
        "caller.setblocking(False)\n"
        "caller.connect_ex(('203.0.113.7', 443))\n"
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'?', ('203.0.113.53', 53))\n"
        "while len(watch.seen) < 2:\n"
        "    time.sleep(0.01)\n"
        "print(json.dumps(sorted(watch.seen)))\n",
        encoding="utf-8",
    )
    done = sealed(program)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["tcp", "203.0.113.7", 443], ["udp", "203.0.113.53", 53]]
