"""The demonstration backend of the compose file, as a process in the environment that its image is made of."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from harness.child_process import scrubbed_environment
from harness.stack import Stack
from harness.wire import Wire

BACKEND: Final = Path(__file__).resolve().parents[2] / "deploy" / "demo" / "backend.py"


@pytest.mark.timeout(180)
async def test_it_writes_to_a_collection_of_its_own(
    stack: Stack, wire: Wire, environment_python: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every message that it publishes is one of the collection `demo`, and its questions are answered from there."""
    subjects: list[str] = []
    subscription = await wire.client.subscribe("security.*.v1.>")
    own = {
        "NATS_URL": stack.server.url,
        "DEMO_ANSWERED": str(tmp_path / "answered"),
        "DEMO_PAUSE_S": "0.1",
        "DEMO_EVENTS": "20",
    }
    process = await asyncio.create_subprocess_exec(
        environment_python("tests/compat"),
        BACKEND,
        env=scrubbed_environment(own),
        stdout=asyncio.subprocess.PIPE,
    )
    said: dict[str, dict[str, object]] = {}
    assert process.stdout is not None
    try:
        # Until it has asked all questions and then published on its own.
        while "asked" not in said or said["last"]["event"] != "answered":
            line = json.loads(await process.stdout.readline() or '{"event": "ended"}')
            assert line["event"] != "ended", said
            said[line["event"]] = said["last"] = line
    finally:
        if process.returncode is None:
            process.terminate()
        code = await process.wait()
    while subscription.pending_msgs:
        subjects.append((await subscription.next_msg()).subject)
    assert code == 0
    assert said["last"]["found"]
    written = {subject for subject in subjects if subject.split(".")[1] in {"events", "outcomes", "deletions"}}
    assert written
    assert {subject.split(".")[3] for subject in written} == {"demo"}
    assert (tmp_path / "answered").exists()
