"""The indexer with no more than its image has: what image.lock leaves out, or the build takes away, nothing misses."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.child_process import scrubbed_environment
from harness.indexer_process import run_indexer_command
from harness.stack import NewIndexer
from harness.wire import Wire

REPOSITORY = Path(__file__).resolve().parents[2]
INDEXER = "services/indexer"

# Found before any other module by whatever Python starts with it on its path.
LACKING = """
import importlib.metadata, os, re, sys

shipped = set(os.environ["SHIPPED"].split())
lacking = {
    module
    for module, distributions in importlib.metadata.packages_distributions().items()
    if shipped.isdisjoint(re.sub("[-_.]+", "-", one).lower() for one in distributions)
}

class Lacking:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in lacking:
            raise ModuleNotFoundError(f"No module named {name!r}, it is not in the image", name=name)

sys.meta_path.insert(0, Lacking)
"""


@pytest.fixture
def as_in_the_image(tmp_path: Path) -> dict[str, str]:
    """Variables with which the indexer's environment holds what its image does, and no more."""
    dockerfile = (REPOSITORY / "deploy/docker/indexer.Dockerfile").read_text(encoding="utf-8")
    [taken_away] = re.findall(r"uninstall --yes ([a-z0-9 -]+)", dockerfile)
    lock = (REPOSITORY / INDEXER / "image.lock").read_text(encoding="utf-8")
    shipped = {"precedent-schemas", "precedent-indexer", *re.findall(r"(?m)^([a-z0-9.-]+)==", lock)}
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(LACKING, encoding="utf-8")
    return {"PYTHONPATH": str(tmp_path / "path"), "SHIPPED": " ".join(sorted(shipped - set(taken_away.split())))}


@pytest.mark.parametrize("module", ["onnx", "aiohttp", "kubernetes", "huggingface_hub", "pytest"])
def test_what_the_image_lacks_cannot_be_imported_here(
    environment_python: Callable[[str], Path], as_in_the_image: dict[str, str], module: str
) -> None:
    """The other test stands on this: the module is installed, and refused."""
    python = environment_python(INDEXER)
    for variables, code in (({}, 0), (as_in_the_image, 1)):
        command = [str(python), "-c", f"import {module}"]
        done = subprocess.run(
            command, env=scrubbed_environment(variables), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stderr


async def test_nothing_that_the_image_lacks_is_missed(
    own_wire: Wire, new_indexer: NewIndexer, as_in_the_image: dict[str, str], tmp_path: Path
) -> None:
    """It starts, indexes, answers, refuses, verifies, rebuilds, is backed up and restored, with either runtime."""

    async def runs(*arguments: str, chroma: str = "chroma") -> None:
        variables = {**as_in_the_image, "NATS_URL": indexer.nats_url, "PRECEDENT_CHROMA_PATH": str(tmp_path / chroma)}
        done = await asyncio.to_thread(run_indexer_command, arguments, variables)
        assert done.returncode == 0, (arguments, done.stdout + done.stderr)

    for number, runtime in enumerate(("auto", "onnxruntime")):
        async with new_indexer(**as_in_the_image, PRECEDENT_RUNTIME=runtime) as indexer:
            refused = await own_wire.publish("security.events.v1.incidents.auth", b"no JSON")
            text = f"{number + 1}000 failed logins for admin in 30 s"
            seq = await own_wire.event("incidents", text, id=runtime)
            reply = await own_wire.of("incidents", "search", text=text, min_seq=seq, wait_ms=30_000)
            assert reply["hits"][0]["event"]["id"] == runtime
            await runs("dead-letters", "show", str(refused))
            for command in ("health", "settings", "verify", "rebuild"):
                await runs(command)
            await runs("backup", str(tmp_path / f"backup-{number}"))
    await runs("restore", str(tmp_path / "backup-1"))
