"""docs/install.md: its commands install both sides from `dist/` alone, into fresh environments that work together."""

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from harness.child_process import scrubbed_environment
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from precedent_schemas.version import VERSION

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
INSTALL_SECONDS: Final = 1200.0

PROGRAM: Final = """
import asyncio, json, sys
from precedent_backend_adapter import Precedent, SecurityEvent

async def main(url):
    async with Precedent.connect(url) as precedent:
        receipt = await precedent.publish(SecurityEvent(kind="auth", text="5000 failed logins for admin", id="a"))
        answer = await precedent.search("failed logins", after=receipt, wait=30)
        print(json.dumps([hit.event.id for hit in answer.hits]))

asyncio.run(main(sys.argv[1]))
"""


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in the page's order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory that holds a copy of `dist/` and nothing else."""
    if not (ROOT / "dist").is_dir():
        pytest.fail("no dist/: run `make wheels`", pytrace=False)
    shutil.copytree(ROOT / "dist", tmp_path / "dist")
    return tmp_path


def typed(block: str, folder: Path) -> str:
    """What a block prints in a directory, with pip's own configuration and nothing of this environment."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "NATS_", "PRECEDENT_")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    done = subprocess.run(
        ["bash", "-euc", block],
        cwd=folder,
        env={**variables, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.timeout(2 * INSTALL_SECONDS)
async def test_both_sides_work_from_dist_alone(folder: Path) -> None:
    """The page's blocks, word for word, make two environments; the adapter of the one is answered by the other."""
    wheels, adapter, indexer = blocks("sh")
    assert wheels.strip() == "make wheels"
    for block in (adapter, indexer):
        printed = await asyncio.to_thread(typed, block, folder)
        assert printed.splitlines()[-1] == VERSION
    with NatsServer(folder / "jetstream") as server:
        executable = folder / "precedent/bin/precedent-indexer"
        async with IndexerProcess(server.url, folder / "chroma", executable=executable):
            process = await asyncio.create_subprocess_exec(
                folder / "backend/bin/python",
                "-I",
                "-c",
                PROGRAM,
                server.url,
                cwd=folder,
                env=scrubbed_environment({}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    assert json.loads(out) == ["a"]
