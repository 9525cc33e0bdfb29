"""The server that other tests stand on starts, stops, hangs and dies as it is told to."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import nats
import nats.js.errors
import pytest

import harness.nats_server as nats_server_module
from harness.child_process import ProcessFailedError
from harness.nats_server import NatsServer, find_nats_server
from harness.stand_ins import alive, ask, connect
from harness.waits import eventually, free_port

TESTS = Path(__file__).resolve().parents[1]


async def test_server_serves_jetstream(tmp_path: Path) -> None:
    """A started server answers JetStream requests, and keeps its store where it was told to."""
    with NatsServer(tmp_path) as server:
        client = await connect(server.url)
        await client.jetstream().add_stream(name="S", subjects=["s"])
        acknowledgement = await client.jetstream().publish("s", b"1")
        await client.close()
    assert acknowledgement.seq == 1
    assert (tmp_path / "jetstream").is_dir()


@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_server_comes_back_with_port_and_stream(tmp_path: Path, how: str) -> None:
    """Stopped politely or killed, the server comes back on its port with its streams, as a new process."""
    with NatsServer(tmp_path) as server:
        port, pid = server.port, server.pid
        client = await connect(server.url)
        await client.jetstream().add_stream(name="S", subjects=["s"])
        await client.jetstream().publish("s", b"kept")
        await client.close()

        if how == "restart":
            server.restart()
        else:
            server.kill()
            assert server.returncode == -signal.SIGKILL
            server.start()

        assert server.port == port
        assert server.pid != pid
        client = await connect(server.url)
        assert (await client.jetstream().get_msg("S", 1)).data == b"kept"
        await client.close()


def test_server_that_is_down_refuses_connections_and_keeps_its_port(tmp_path: Path) -> None:
    """While the server is down nobody gets through, and nobody can take its port."""
    with NatsServer(tmp_path) as server:
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        with socket.socket() as rival, pytest.raises(OSError, match="in use"):
            rival.bind(("127.0.0.1", server.port))


def test_server_on_fixed_port(tmp_path: Path) -> None:
    """A given port is the port."""
    port = free_port()
    with NatsServer(tmp_path, port=port) as server:
        assert server.url == f"nats://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port)).close()


async def test_server_takes_further_configuration(tmp_path: Path) -> None:
    """Configuration text reaches the server, and a jetstream block in it does not move the store."""
    config = "max_payload: 4096\njetstream { max_file_store: 10MB }\n"
    with NatsServer(tmp_path, config=config) as server:
        client = await connect(server.url)
        assert client.max_payload == 4096
        with pytest.raises(nats.js.errors.ServerError, match="insufficient storage"):
            await client.jetstream().add_stream(name="S", subjects=["s"], max_bytes=20 * 2**20)
        await client.close()
    assert (tmp_path / "jetstream").is_dir()


def test_server_failure_carries_its_own_words(tmp_path: Path) -> None:
    """A server that cannot start says why in the exception, with file and line, and leaves nothing behind."""
    server = NatsServer(tmp_path, config="\nno_such_setting: 3\n")
    with pytest.raises(ProcessFailedError, match=r"nats-server\.conf:2:1: unknown field") as failure:
        server.start()
    assert "exit code 1" in str(failure.value)
    assert server.returncode == 1


def test_server_that_is_never_ready_is_killed(tmp_path: Path) -> None:
    """Running out of patience is an error that shows the log, and the process is gone."""
    server = NatsServer(tmp_path)
    with pytest.raises(ProcessFailedError, match="was not ready within 0 s"):
        server.start(timeout=0)
    assert not alive(server.pid)


def test_server_is_not_started_twice(tmp_path: Path) -> None:
    """A second start would orphan the first process, so it is refused and the first goes on."""
    with NatsServer(tmp_path) as server:
        pid = server.pid
        with pytest.raises(RuntimeError, match="already running"):
            server.start()
        assert server.pid == pid
        socket.create_connection(("127.0.0.1", server.port)).close()


async def test_paused_server_hangs_and_resumes(tmp_path: Path) -> None:
    """A paused server keeps its connections without answering, and answers after all when resumed."""
    with NatsServer(tmp_path) as server:
        client = await connect(server.url)
        server.pause()
        with pytest.raises(nats.errors.TimeoutError):
            await ask(client, timeout=1)
        assert client.is_connected
        server.resume()
        await ask(client, timeout=10)
        await client.close()


def test_paused_server_stops_politely(tmp_path: Path) -> None:
    """Stopping a paused server is a stop like any other."""
    with NatsServer(tmp_path) as server:
        server.pause()
    assert server.returncode is not None
    assert "Server Exiting" in server.log_tail()


def test_temporary_store_is_removed() -> None:
    """Without a directory of the caller's, nothing is left on disk."""
    with NatsServer() as server:
        folder = server.store_dir
        assert folder.is_dir()
    assert not folder.exists()


def test_missing_server_names_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without the binary fails with what to do about it; the search path is no way out."""
    monkeypatch.setenv("PATH", str(find_nats_server().parent))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(nats_server_module, "DISTRIBUTION", "no-such-distribution")
    with pytest.raises(FileNotFoundError, match="make setup"):
        find_nats_server()


ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to a killed parent")


@pytest.mark.parametrize("end", ["exits", pytest.param("killed", marks=ONLY_LINUX)])
def test_server_dies_with_its_parent(tmp_path: Path, end: str) -> None:
    """A test process that is killed, or forgets to stop its server, leaves no server behind.

    The one that forgets starts it in a thread that ends first: that alone must not end the server.
    """
    script = f"""
import signal, socket, threading
from pathlib import Path
from harness.nats_server import NatsServer
server = NatsServer(Path({str(tmp_path)!r}))
if {end!r} == "killed":
    server.start()
else:
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    while Path(f"/proc/self/task/{{starter.native_id}}").exists():
        pass  # Python has joined the thread, the kernel not yet.
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        assert client.recv(4) == b"INFO"
print(server.pid, flush=True)
if {end!r} == "killed":
    signal.pause()
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=TESTS, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if end == "killed":
            parent.kill()

    async def gone() -> None:
        assert not alive(pid)

    asyncio.run(eventually(gone, timeout=10))
