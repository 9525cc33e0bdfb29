"""More questions than can be worked on: some are told to come later, none is lost, and then all is as before."""

import asyncio
import collections
from pathlib import Path
from typing import Any

from harness.stack import running_stack
from harness.wire import Wire

FLOOD = 400
SETTINGS = {"PRECEDENT_QUESTIONS_AT_ONCE": "1", "PRECEDENT_QUESTIONS_WAITING": "3"}


async def test_overload_is_429_and_passes(tmp_path: Path) -> None:
    """In a flood every question is answered or gets 429; events are indexed meanwhile; after it, all are answered."""
    async with running_stack(tmp_path, env=SETTINGS) as stack, Wire.connected(stack.server.url) as wire:
        await wire.covered(await wire.event("incidents", "a disk is full", id="first"))

        async def ask(number: int) -> str:
            reply: dict[str, Any]
            reply, _ = await wire.request("security.index.v1.incidents.search", {"text": f"question {number}", "k": 1})
            return str(reply["error"]["code"]) if "error" in reply else reply["hits"][0]["event"]["id"]

        flood = asyncio.gather(*map(ask, range(FLOOD)))
        seq = await wire.event("rules", "published meanwhile", id="meanwhile")
        verdicts = collections.Counter(await flood)
        assert verdicts.keys() == {"first", "429"}
        assert verdicts.total() == FLOOD
        await wire.covered(seq)
        assert [await ask(number) for number in range(10)] == ["first"] * 10
        assert await wire.listed("rules") == ["meanwhile"]
        assert stack.indexer.returncode is None
