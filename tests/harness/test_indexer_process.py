"""The indexer's process is started, found ready, ended and reported on as it is."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.child_process import INHERITED_VARIABLES, ProcessFailedError
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from harness.stand_ins import ANSWERING_STUB, alive, stub
from harness.waits import eventually


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
