"""The command `precedent` as people run it: its own program, a real server and a real indexer."""

import asyncio
import contextlib
import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.stack import NewIndexer, Stack
from harness.waits import eventually
from harness.wire import Wire

ADAPTER = Path(__file__).resolve().parents[2] / "services" / "backend-adapter"
PRECEDENT = ADAPTER / ".venv" / "bin" / "precedent"
README = ADAPTER / "README.md"
SECONDS = 90.0


class Shell:
    """A terminal with one server in its environment and a folder of its own."""

    def __init__(self, folder: Path, **environment: str) -> None:
        if not os.access(PRECEDENT, os.X_OK):
            pytest.fail(f"no command at {PRECEDENT}: run `make setup`", pytrace=False)
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}

    async def run(self, *arguments: str, code: int = 0, stdin: str = "") -> str:
        """Stdout of `precedent` with these arguments; it ends with `code`, and never with a traceback."""
        done = await asyncio.to_thread(self._run, arguments, stdin)
        assert done.returncode == code, f"precedent {shlex.join(arguments)}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stdout + done.stderr

    def _run(self, arguments: tuple[str, ...], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PRECEDENT, *arguments],
            check=False,
            capture_output=True,
            text=True,
            input=stdin,
            cwd=self.folder,
            env=self.environment,
            timeout=SECONDS,
        )

    async def asked(self, *arguments: str) -> Any:
        """The one JSON document that it answers with."""
        return json.loads(await self.run(*arguments, "--json"))

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The same, running as long as the block; its stdout, with stderr in it, can be read."""
        process = subprocess.Popen(
            [PRECEDENT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env=self.environment,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


async def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that it writes; empty when it has ended."""
    assert process.stdout is not None
    return await asyncio.to_thread(process.stdout.readline)


async def interrupted(process: subprocess.Popen[str]) -> int:
    """Its exit code after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    return await asyncio.to_thread(process.wait, SECONDS)


@pytest.fixture
def shell(stack: Stack, tmp_path: Path) -> Shell:
    """One that reaches the shared stack."""
    return Shell(tmp_path, NATS_URL=stack.server.url)


async def messages(wire: Wire, collection: str) -> int:
    """How many events of a collection the log has, revisions included."""
    info = await wire.api("STREAM.INFO.SECURITY_EVENTS", {"subjects_filter": f"security.events.v1.{collection}.>"})
    counts: dict[str, int] = info["state"].get("subjects") or {}
    return sum(counts.values())


async def test_from_the_event_to_the_decision(shell: Shell, collection: str) -> None:
    """Publish, find, list, decide, count and delete, each as the next sees it."""
    of = ("--collection", collection)
    receipt = await shell.asked(
        *("publish", "auth.brute_force", "5000 failed logins for admin in 30 s", *of, "--id", "a", "--severity", "5"),
        *("--user", "admin", "--ip", "203.0.113.7", "--attribute", "port=22", "--wait"),
    )
    await shell.run("publish", "backup", "-", *of, "--id", "b", "--wait", stdin="the nightly backup took four hours\n")
    hits = (await shell.asked("search", "somebody tries to log in", *of))["hits"]
    assert [hit["event"]["id"] for hit in hits] == ["a", "b"]
    assert "203.0.113.7" in await shell.run("search", "somebody tries to log in", *of, "-k", "1")
    listed = await shell.run("list", *of, "--json", "--order", "oldest", "--network", "203.0.113.0/24")
    assert json.loads(listed)["seq"] == receipt["seq"]
    await shell.run("outcome", "a", "true_positive", *of, "--mitigation", "block the address", "--by", "ana", "--wait")
    assert "block the address" in await shell.run("get", "a", *of)
    assert (await shell.asked("search", "log in", *of))["summary"]["verdicts"] == {"true_positive": 1}
    assert (await shell.asked("recurrence", "--id", "a", *of))["total"] == 1
    assert (await shell.asked("stats"))["collections"][collection]["count"] == 2
    assert await shell.asked("delete", "a", *of, "--yes") == {"deleted": ["a"], "missing": []}
    assert (await shell.asked("stats", *of))["count"] == 1
    await shell.run("get", "a", *of, code=3)


async def test_a_file_is_imported_once(shell: Shell, wire: Wire, collection: str) -> None:
    """The second run publishes nothing, and what is refused is named by line both times."""
    lines = [{"text": "door opened at night", "kind": "door"}, {"text": 3}, {"text": "door opened at night"}]
    (shell.folder / "old.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    command = ("import", "old.jsonl", "--collection", collection, "--kind", "old.door")
    first = await shell.run(*command, "--json", code=3)
    assert json.loads(first)["published"] == 2
    second = await shell.run(*command, code=3)
    assert "0 published, 2 already there, 1 refused" in second
    assert "valid string" in second
    assert await messages(wire, collection) == 2


async def test_an_import_that_is_killed_goes_on(shell: Shell, wire: Wire, collection: str) -> None:
    """After SIGKILL in the middle the next run publishes exactly what is missing: each line is in the log once."""
    count = 4000
    lines = (json.dumps({"text": f"failed login {n % 5}", "attributes": {"n": n}}) for n in range(count))
    (shell.folder / "old.jsonl").write_text("\n".join(lines), encoding="utf-8")
    command = ("import", "old.jsonl", "--collection", collection, "--kind", "auth")
    journal = shell.folder / "old.jsonl.precedent-import"
    with shell.running(*command) as process:

        async def begun() -> None:
            assert process.poll() is None, process.communicate()
            assert b'"stored"' in journal.read_bytes()

        await eventually(begun, timeout=SECONDS, exceptions=(AssertionError, FileNotFoundError))
        process.kill()
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL, "it was done before it could be killed"
    assert 0 < await messages(wire, collection) < count
    report = await shell.asked(*command)
    assert report["published"] + report["already"] == count
    assert await messages(wire, collection) == count


async def test_tail_shows_what_comes(shell: Shell, collection: str) -> None:
    """An event that is published meanwhile appears with the id that the index has; Ctrl-C ends it."""
    await shell.run("publish", "x", "before", "--collection", collection, "--id", "old", "--wait")
    with shell.running("tail", "--collection", collection, "--every", "0.1", "--json") as process:
        assert json.loads(await line_of(process))["event"]["id"] == "old"
        await shell.run("publish", "x", "meanwhile", "--collection", collection, "--id", "new")
        assert json.loads(await line_of(process))["event"]["id"] == "new"
        assert await interrupted(process) == 130
        assert await line_of(process) == ""


async def test_dead_letters_are_handled(shell: Shell, wire: Wire, collection: str) -> None:
    """What a stranger published wrongly is found, shown, replayed and dropped."""
    await shell.run("publish", "x", "the first", "--collection", collection, "--wait")
    seq = await wire.publish(f"security.events.v1.{collection}.x", b'{"text": 3}')
    await wire.covered(seq)
    listed = (await shell.run("dead-letters", "list", "--limit", "0", "--json")).splitlines()
    assert seq in [json.loads(line)["seq"] for line in listed]
    assert '{"text": 3}' in await shell.run("dead-letters", "show", str(seq))
    again = (await shell.asked("dead-letters", "replay", str(seq)))["replayed"][0]["new_seq"]
    await wire.covered(again)
    assert (await shell.asked("dead-letters", "drop", str(again)))["dropped"] == [again]
    await shell.run("dead-letters", "show", str(again), code=3)


async def test_the_context_of_the_nats_command_says_where(stack: Stack, tmp_path: Path) -> None:
    """Without a variable the selected context counts; a variable wins over it, and both options over all."""
    contexts = tmp_path / "nats" / "context"
    contexts.mkdir(parents=True)
    (contexts.parent / "context.txt").write_text("here", encoding="utf-8")
    (contexts / "here.json").write_text(json.dumps({"url": stack.server.url, "creds": ""}), encoding="utf-8")
    shell = Shell(tmp_path, XDG_CONFIG_HOME=str(tmp_path))
    await shell.run("stats")
    elsewhere = Shell(tmp_path, XDG_CONFIG_HOME=str(tmp_path), NATS_URL="nats://127.0.0.1:1")
    assert "127.0.0.1:1" in await elsewhere.run("stats", code=1)
    await elsewhere.run("stats", "--context", "here")
    await elsewhere.run("stats", "--server", stack.server.url)


async def test_without_an_indexer_it_says_so(shell: Shell, own_wire: Wire, new_indexer: NewIndexer) -> None:
    """One line with the remedy and exit code 1."""
    said = await shell.run("stats", "--server", new_indexer().nats_url, code=1)
    assert said == "precedent: no service answers on security.index.v1.stats: is `precedent-indexer serve` running?\n"


def shown_commands() -> list[str]:
    """Every command of the README's section about it."""
    section = README.read_text(encoding="utf-8").partition("## The command `precedent`")[2].partition("\n## ")[0]
    return [line for line in section.partition("```sh\n")[2].partition("```")[0].splitlines() if line]


async def test_the_readme_shows_commands_that_work(new_indexer: NewIndexer, tmp_path: Path) -> None:
    """Every command that the README shows is run here, in its order, as it stands."""
    commands = [shlex.split(line, comments=True) for line in shown_commands()]
    assert len(commands) > 5
    (tmp_path / "events.jsonl").write_text('{"text": "a path traversal was blocked"}\n', encoding="utf-8")
    indexer = new_indexer()
    async with indexer:
        shell = Shell(tmp_path, NATS_URL=indexer.nats_url)
        for name, *arguments in commands:
            assert name == "precedent"
            if arguments[0] == "tail":
                with shell.running(*arguments) as process:
                    assert await line_of(process)
                    assert await interrupted(process) == 130
            else:
                assert await shell.run(*arguments)
