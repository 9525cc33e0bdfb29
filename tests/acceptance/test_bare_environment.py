"""The adapter in an environment that holds nothing but what it declares, as a program of its own."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from harness.child_process import scrubbed_environment
from harness.stack import Stack

PROGRAM = """
import asyncio, json, sys
from precedent_backend_adapter import Outcome, Precedent, SecurityEvent, Verdict

async def main(url, collection):
    async with Precedent.connect(url) as precedent:
        event = SecurityEvent(kind="auth", collection=collection, text="5000 failed logins for admin", id="a")
        await precedent.publish(event)
        outcome = Outcome(event_id="a", verdict=Verdict.BENIGN)
        receipt = await precedent.publish_outcome(outcome, collection=collection)
        answer = await precedent.search("failed logins", collection=collection, after=receipt, wait=30)
        deleted = await precedent.delete(["a"], collection=collection)
        print(json.dumps({
            "hits": [[hit.event.id, hit.outcome.verdict] for hit in answer.hits],
            "deleted": deleted.deleted,
            "prefix": sys.prefix,
        }))

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_adapter_works_from_its_own_environment(
    stack: Stack, collection: str, environment_python: Callable[[str], Path]
) -> None:
    """Nothing that the environment of the tests holds is needed to publish, decide, ask and delete."""
    python = environment_python("services/backend-adapter")
    process = await asyncio.create_subprocess_exec(
        python,
        "-I",
        "-W",
        "error",
        "-c",
        PROGRAM,
        stack.server.url,
        collection,
        env=scrubbed_environment({}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    said = json.loads(out)
    assert said["hits"] == [["a", "benign"]]
    assert said["deleted"] == ["a"]
    assert Path(said["prefix"]) == python.parents[1]
