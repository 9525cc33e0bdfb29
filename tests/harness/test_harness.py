"""The harness is code that every other test trusts, so it is tested first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nats
import nats.js.errors
import pytest

import harness.nats_server as nats_server_module
from harness.child_process import INHERITED_VARIABLES, ProcessFailedError
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer, find_nats_server
from harness.relay import TcpRelay
from harness.waits import eventually, free_port

if TYPE_CHECKING:
    from nats.aio.client import Client

TESTS = Path(__file__).resolve().parents[1]

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


# The indexer


async def test_indexer_is_ready_when_it_answers_and_ends_on_sigterm(tmp_path: Path) -> None:
    """The context manager returns once the process answers PING over NATS, and ends it by SIGTERM."""
    with NatsServer(tmp_path / "nats") as server:
        executable = stub(tmp_path, ANSWERING_STUB)
        async with IndexerProcess(server.url, tmp_path / "chroma", executable=executable) as indexer:
            assert indexer.returncode is None
        assert indexer.returncode == 0
        assert [entry["event"] for entry in indexer.logs()] == ["listening", "answered", "stopped"]
        assert "not JSON" in indexer.log_tail()


async def test_answer_of_another_instance_is_not_readiness(tmp_path: Path) -> None:
    """A reply that carries another process's pid does not count."""
    with NatsServer(tmp_path / "nats") as server:
        executable = stub(tmp_path, ANSWERING_STUB)
        indexer = IndexerProcess(server.url, tmp_path / "chroma", env={"PID": "1"}, executable=executable)
        indexer.start()
        await eventually(lambda: indexer.logs()[0], timeout=10, exceptions=IndexError)
        with pytest.raises(ProcessFailedError, match="did not answer"):
            await indexer.wait_ready(timeout=2)
        assert {"event": "answered"} in indexer.logs()
        await indexer.terminate()


@pytest.mark.parametrize("server_up", [True, False])
async def test_exit_before_readiness_carries_code_and_log(tmp_path: Path, *, server_up: bool) -> None:
    """An indexer that gives up fails the wait at once, with exit code and last words, server or no server."""
    executable = stub(tmp_path, "import sys\nprint('no such stream: SECURITY_EVENTS')\nsys.exit(3)\n")
    with NatsServer(tmp_path / "nats") as server:
        if not server_up:
            server.stop()
        indexer = IndexerProcess(server.url, tmp_path / "chroma", executable=executable)
        indexer.start()
        with pytest.raises(ProcessFailedError, match="no such stream: SECURITY_EVENTS") as failure:
            await indexer.wait_ready(timeout=30)
    assert "exit code 3" in str(failure.value)


async def test_readiness_outlasts_a_server_that_hangs(tmp_path: Path) -> None:
    """A hanging server is said to be the reason, and once it goes on the indexer is ready again."""
    with NatsServer(tmp_path / "nats") as server:
        indexer = IndexerProcess(server.url, tmp_path / "chroma", executable=stub(tmp_path, ANSWERING_STUB))
        indexer.start()
        await indexer.wait_ready()
        server.pause()
        with pytest.raises(ProcessFailedError, match="last failure to ask"):
            await indexer.wait_ready(timeout=1)
        server.resume()
        await indexer.wait_ready()
        await indexer.terminate()


async def test_indexer_that_ignores_sigterm_is_killed_and_reported(tmp_path: Path) -> None:
    """Ignoring SIGTERM is an error, not a hang, and the process is gone afterwards."""
    body = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print('{"event": "up"}', flush=True)
signal.pause()
"""
    indexer = IndexerProcess("nats://127.0.0.1:1", tmp_path, executable=stub(tmp_path, body))
    indexer.start()
    await eventually(lambda: indexer.logs()[0], timeout=10, exceptions=IndexError)
    with pytest.raises(ProcessFailedError, match="ignored SIGTERM"):
        await indexer.terminate(timeout=0.2)
    assert indexer.returncode == -signal.SIGKILL
    assert await indexer.terminate() == -signal.SIGKILL


async def test_killed_indexer_takes_its_children_along_and_can_start_again(tmp_path: Path) -> None:
    """SIGKILL ends the whole process group, and the same object can start the next run."""
    body = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print(json.dumps({"child": child.pid}), flush=True)
child.wait()
"""
    indexer = IndexerProcess("nats://127.0.0.1:1", tmp_path, executable=stub(tmp_path, body))
    for run in (1, 2):
        indexer.start()

        def child_of_this_run(run: int = run) -> int:
            entries = indexer.logs()
            assert len(entries) == run
            return int(entries[-1]["child"])

        child = await eventually(child_of_this_run, timeout=10)
        indexer.kill()
        assert indexer.returncode == -signal.SIGKILL

        def gone(child: int = child) -> None:
            assert not alive(child)

        await eventually(gone, timeout=10)


async def test_paused_indexer_terminates(tmp_path: Path) -> None:
    """A paused process acts on SIGTERM, because terminating resumes it."""
    with NatsServer(tmp_path / "nats") as server:
        executable = stub(tmp_path, ANSWERING_STUB)
        async with IndexerProcess(server.url, tmp_path / "chroma", executable=executable) as indexer:
            indexer.pause()
            with pytest.raises(ProcessFailedError, match="did not answer"):
                await indexer.wait_ready(timeout=1)
        assert indexer.returncode == 0


async def test_failing_test_shows_the_indexers_log(tmp_path: Path) -> None:
    """What fails inside the context carries the indexer's last lines as a note."""
    with NatsServer(tmp_path / "nats") as server:
        indexer = IndexerProcess(server.url, tmp_path / "chroma", executable=stub(tmp_path, ANSWERING_STUB))
        with pytest.raises(AssertionError) as failure:
            async with indexer:
                raise AssertionError
    assert "listening" in failure.value.__notes__[0]


def test_environment_is_scrubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the named variables and the caller's reach the indexer, nothing of this Python environment."""
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "UV_PYTHON", "PIP_REQUIRE_VIRTUALENV"):
        monkeypatch.setenv(name, str(tmp_path))
    # In the C locale an interpreter adds LC_CTYPE to its environment; the one that guards the child must not.
    monkeypatch.setenv("LANG", "C")
    executable = tmp_path / "print-environment"
    executable.write_text("#!/bin/sh\nexec env\n", encoding="utf-8")
    executable.chmod(0o755)
    done = run_indexer_command([], {"NATS_URL": "nats://127.0.0.1:1"}, timeout=30, executable=executable)
    seen = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert seen - {"PWD", "SHLVL", "_"} <= {*INHERITED_VARIABLES, "NATS_URL"}
    assert {"PATH", "NATS_URL"} <= seen


def test_command_returns_code_and_both_outputs(tmp_path: Path) -> None:
    """A finished command hands back its exit code, stdout and stderr, and was given its arguments."""
    body = "import sys\nprint(sys.argv[1:])\nprint('oh', file=sys.stderr)\nsys.exit(4)\n"
    done = run_indexer_command(["health", "--json"], timeout=30, executable=stub(tmp_path, body))
    assert (done.returncode, done.stdout, done.stderr) == (4, "['health', '--json']\n", "oh\n")


def test_command_that_hangs_is_killed_and_reported(tmp_path: Path) -> None:
    """A command that does not end in time is an error with what it said so far."""
    executable = tmp_path / "stub-indexer"
    executable.write_text("#!/bin/sh\necho thinking\nexec sleep 600\n", encoding="utf-8")
    executable.chmod(0o755)
    with pytest.raises(ProcessFailedError, match="did not end within 2 s; it said:\nthinking"):
        run_indexer_command(["verify"], timeout=2, executable=executable)


def test_missing_indexer_names_the_remedy(tmp_path: Path) -> None:
    """Without the indexer's environment the error says how to get it."""
    with pytest.raises(FileNotFoundError, match="make setup"):
        IndexerProcess("nats://127.0.0.1:1", tmp_path, executable=tmp_path / "absent").start()


# The relay


async def test_relay_stalls_and_resumes(tmp_path: Path) -> None:
    """A stalled link stays connected and passes nothing; resumed, it delivers what was held back."""
    with NatsServer(tmp_path) as server:
        async with TcpRelay(server.port) as relay:
            client = await connect(relay.url)
            relay.stall()
            with pytest.raises(nats.errors.TimeoutError):
                await ask(client, timeout=1)
            assert client.is_connected
            relay.resume()
            await ask(client, timeout=10)
            await client.close()


async def test_relay_cuts_and_restores(tmp_path: Path) -> None:
    """A cut drops connections and refuses new ones; restored, the same port works again."""
    with NatsServer(tmp_path) as server:
        async with TcpRelay(server.port) as relay:
            port = relay.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.readline()).startswith(b"INFO")
            await relay.cut()
            assert relay.connections == 0
            assert await reader.read() == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await relay.restore()
            assert relay.port == port
            client = await connect(relay.url)
            await ask(client, timeout=10)
            await client.close()


async def test_relay_passes_a_large_stream_and_its_end() -> None:
    """Bytes arrive whole and in order, and the end of one direction leaves the other open."""
    payload = os.urandom(5_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read()
        writer.write(received)
        writer.write_eof()
        await writer.drain()
        writer.close()

    target = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with target, TcpRelay(target.sockets[0].getsockname()[1]) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(payload)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == payload
        writer.close()


async def test_relay_without_a_target_ends_the_connection() -> None:
    """A target that refuses looks like a connection that ends at once."""
    async with TcpRelay(free_port()) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


# Waiting


async def test_eventually_returns_the_value_once_it_holds() -> None:
    """Attempts go on until the probe stops raising, and its value is handed back."""
    attempts = 0

    async def third_time() -> int:
        nonlocal attempts
        attempts += 1
        assert attempts >= 3
        return attempts

    assert await eventually(third_time, timeout=10, interval=0.001) == 3


async def test_eventually_reports_the_last_failure() -> None:
    """The final error names the probe and what it said last, and is chained to it."""
    attempts = 0

    def never() -> None:
        nonlocal attempts
        attempts += 1
        raise AssertionError(f"seen {attempts}")

    with pytest.raises(AssertionError, match=r"never did not hold within 0\.05 s") as failure:
        await eventually(never, timeout=0.05, interval=0.01)
    assert f"({attempts} attempts); last failure: AssertionError: seen {attempts}" in str(failure.value)
    assert isinstance(failure.value.__cause__, AssertionError)


async def test_eventually_bounds_each_attempt() -> None:
    """A hanging attempt is a failed one: the next gets its chance."""
    attempts = 0

    async def hangs_once() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            await asyncio.Event().wait()
        return "done"

    assert await eventually(hangs_once, timeout=30, attempt_timeout=0.05) == "done"


async def test_eventually_says_that_the_attempt_hung_and_what_failed_before() -> None:
    """When the last attempt hangs, the failure before it is not lost."""
    attempts = 0

    async def fails_then_hangs() -> None:
        nonlocal attempts
        attempts += 1
        assert attempts > 1, "count is 7"
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match=r"took longer than .* before that: AssertionError: count is 7"):
        await eventually(fails_then_hangs, timeout=0.2, interval=0.01)


@pytest.mark.parametrize("error", [TimeoutError, KeyError])
async def test_eventually_raises_at_once_what_it_was_not_told_to_expect(error: type[Exception]) -> None:
    """An unexpected exception, a timeout of the probe's own included, is a defect and ends the wait."""
    attempts = 0

    def broken() -> None:
        nonlocal attempts
        attempts += 1
        raise error

    with pytest.raises(error):
        await eventually(broken, timeout=30)
    assert attempts == 1


async def test_eventually_retries_the_exceptions_it_is_given() -> None:
    """The caller says what means "not yet"."""
    answers = iter([KeyError("a"), OSError("b"), None])

    def probe() -> str:
        if (answer := next(answers)) is not None:
            raise answer
        return "held"

    assert await eventually(probe, timeout=30, interval=0.001, exceptions=(KeyError, OSError)) == "held"


async def test_eventually_refuses_a_probe_without_assertion() -> None:
    """A probe that returns False would pass unseen, so it is an error."""
    with pytest.raises(TypeError, match="state the condition with assert"):
        await eventually(lambda: 1 > 2, timeout=30)  # noqa: PLR0133 (the mistake itself)
