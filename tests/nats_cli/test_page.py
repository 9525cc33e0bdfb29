"""docs/nats-cli.md is one story, and it is lived through: each command as it stands, by the real `nats` command."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from harness.compose import read_versions
from harness.console import read_steps, shown
from harness.nats_server import NatsServer
from harness.stack import running_stack
from harness.terminal import Terminal, find_nats

if TYPE_CHECKING:
    from harness.console import Step

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "nats-cli.md"
CLOSED: Final = "On a closed bus"
# The monitoring port tells whether somebody listens.
MONITORED: Final = 'http: "127.0.0.1:-1"'
SERVER: Final = "127.0.0.1:4222"
ANOTHER: Final = "127.0.0.1:4223"

TYPED: Final = (
    "context save",
    "pub",
    "sub",
    "req",
    *("micro ls", "micro info", "micro ping", "micro stats"),
    *("stream info", "stream view", "stream get", "consumer info"),
    *("req --raw security.deadletters.v1.list", "req --raw security.deadletters.v1.replay"),
    "latency",
    "bench js pub",
    *("backup stream", "backup restore stream"),
)


def steps() -> list[Step]:
    """The commands of the page."""
    return read_steps(PAGE.name, PAGE.read_text(encoding="utf-8"))


def connections(server: NatsServer) -> list[dict[str, Any]]:
    """Who is connected, with the subjects that they listen to."""
    [ports] = (json.loads(path.read_text(encoding="utf-8")) for path in server.store_dir.glob("*.ports"))
    with urllib.request.urlopen(f"{ports['monitoring'][0]}/connz?subs=1", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["connections"]
    return found


def test_the_command_is_the_one_the_page_is_written_for() -> None:
    """Another version may print something else."""
    done = subprocess.run([find_nats(), "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == read_versions()["NATS_CLI_VERSION"]


def test_every_command_shows_what_it_prints() -> None:
    """A command without a line of its output would be run and not looked at."""
    assert [step.where for step in steps() if not shown(step.printed)] == []
    assert {step.section for step in steps()} >= {CLOSED, "Publish", "Ask", "Dead letters"}


def test_what_people_type_is_on_the_page() -> None:
    """Nobody takes one of these off it unnoticed."""
    typed = [step.command for step in steps()]
    assert [one for one in TYPED if not any(f"{command} ".startswith(f"nats {one} ") for command in typed)] == []


@pytest.mark.timeout(300)
async def test_the_page_is_true(tmp_path: Path) -> None:
    """From the first context to the restored backup, every command prints what the page shows."""
    async with running_stack(tmp_path / "stack", server_config=MONITORED) as stack:
        with NatsServer(tmp_path / "another") as another:
            here = {SERVER: f"127.0.0.1:{stack.server.port}", ANOTHER: f"127.0.0.1:{another.port}"}
            home = tmp_path / "home"
            home.mkdir()
            terminal = Terminal(home, (find_nats(),), here)

            async def is_heard(subject: str) -> None:
                assert any(subject in one.get("subscriptions_list", []) for one in connections(stack.server))

            try:
                for step in steps():
                    if step.section == CLOSED:
                        continue
                    await (terminal.follow(step, is_heard) if step.follows else terminal.run(step))
                await terminal.compare_followed()
            finally:
                await terminal.close()
