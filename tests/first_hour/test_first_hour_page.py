"""docs/first-hour.md: its commands are run in its order; those that other tests or CI run are held against them."""

import asyncio
import os
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "first-hour.md").read_text(encoding="utf-8")
URL: Final = "nats://127.0.0.1:4222"
ELSEWHERE: Final = {"make demo", "make up", "make up-clean"}
"""CI runs the first, test_up.py the others."""


async def typed(command: str, folder: Path, url: str) -> str:
    """What a command prints, typed in the repository's directory."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("NATS_", "PRECEDENT_"))}
    process = await asyncio.create_subprocess_shell(
        command.replace("data/backend.py", str(folder / "backend.py")),
        cwd=ROOT,
        env={**variables, "NATS_URL": url, "HOME": str(folder), "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, (command, out.decode())
    return out.decode()


@pytest.mark.timeout(240)
async def test_every_step_does_what_it_says(tmp_path: Path) -> None:
    """On an empty stack, each block works and its answer has what the page promises."""
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    printed: dict[str, str] = {}
    with NatsServer(tmp_path / "jetstream") as server:
        async with IndexerProcess(server.url, tmp_path / "chroma"):
            for language, block in blocks:
                if language == "python":
                    (tmp_path / "backend.py").write_text(block.replace(URL, server.url), encoding="utf-8")
                    continue
                for command in block.splitlines():
                    if command not in ELSEWHERE:
                        printed[command] = await typed(command, tmp_path, server.url)
    steps = [*printed.values()]
    assert len(steps) == 6
    published, found, decided, shown, health, asked = steps
    assert "first-1" in published
    assert "5000 failed logins for admin" in found
    assert "first-1" in decided
    assert "blocked the address" in shown
    assert health.startswith("healthy")
    first, second = asked.splitlines()
    assert "700 wrong passwords" in first
    assert second.endswith("blocked the address")


def test_the_page_has_ten_steps() -> None:
    """Its steps are numbered from 1 to 10, and the commands that are run elsewhere are in it."""
    assert re.findall(r"(?m)^\*\*(\d+)\. ", PAGE) == [str(number) for number in range(1, 11)]
    assert {line for line in PAGE.splitlines() if line in ELSEWHERE} == ELSEWHERE


def test_the_readme_links_it_first() -> None:
    """The first link of the README is this page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\(([^)]+)\)", readme)[0] == "docs/first-hour.md"
