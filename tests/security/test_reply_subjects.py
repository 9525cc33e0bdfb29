"""NATS lets everybody name any subject for the reply; nobody may reach by that what permissions deny."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client

from harness.waits import eventually
from precedent_backend_adapter import SecurityEvent
from security.closed_bus import INDEX_WAIT, ONE_TEAM, WAIT, ClosedStack, closed_bus, closed_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClosedStack]:
    """The shipped plan, running, with some events in the log."""
    folder = tmp_path_factory.mktemp("replies")
    with closed_bus(folder / "keys", ONE_TEAM) as bus:
        async with closed_stack(bus, folder / "chroma") as running:
            async with bus.precedent("backend") as backend, bus.precedent("analyst") as analyst:
                receipts = [await backend.publish(SecurityEvent(kind="auth", text=f"login {n}")) for n in range(3)]
                await analyst.search("login", after=receipts[-1], wait=INDEX_WAIT)
            yield running


async def log_state(viewer: Client) -> dict[str, Any]:
    """The extent of the log."""
    reply = await viewer.request("$JS.API.STREAM.INFO.SECURITY_EVENTS", timeout=WAIT)
    state: dict[str, Any] = json.loads(reply.data)["state"]
    return state


@pytest.mark.parametrize(
    "reply_to",
    [
        "$JS.API.STREAM.PURGE.SECURITY_EVENTS",
        "$JS.API.CONSUMER.DELETE.SECURITY_EVENTS.indexer",
        "security.deletions.v1.incidents",
        "security.events.v1.incidents.forged",
        "security.dead.v1.incidents.malformed",
        "security.index.v1.rebuild",
    ],
)
@pytest.mark.parametrize("question", ["security.index.v1.incidents.list", "security.index.v1.stats"])
async def test_an_answer_is_carried_nowhere_but_to_an_inbox(stack: ClosedStack, question: str, reply_to: str) -> None:
    """The indexer may write into the log and erase from it; an asker cannot make it do so by a reply subject."""
    async with stack.bus.client("analyst") as (analyst, _), stack.bus.client("viewer") as (viewer, _):
        before = await log_state(viewer)
        await analyst.publish(question, b"{}", reply=reply_to)
        # Questions are taken in order: once this one is answered, that one would have been.
        await analyst.request(question, b"{}", timeout=WAIT)
        after = await log_state(viewer)
        assert (after["first_seq"], after["last_seq"], after["messages"]) == (
            before["first_seq"],
            before["last_seq"],
            before["messages"],
        )
        consumer = await viewer.request("$JS.API.CONSUMER.INFO.SECURITY_EVENTS.indexer", timeout=WAIT)
        assert "error" not in json.loads(consumer.data)


@pytest.mark.parametrize("verb", ["rebuild", "verify"])
async def test_an_acknowledgement_starts_nothing(stack: ClosedStack, verb: str) -> None:
    """The server sends an acknowledgement wherever the publisher says; the indexer takes it for no question."""
    async with stack.bus.client("backend") as (backend, _), stack.bus.client("analyst") as (analyst, _):
        event = json.dumps({"text": "an event like any other"}).encode()
        await backend.publish("security.events.v1.incidents.auth", event, reply=f"security.index.v1.{verb}")
        ack = await backend.jetstream().publish("security.events.v1.incidents.auth", event, timeout=WAIT)
        wanted = json.dumps({"text": "x", "min_seq": ack.seq, "wait_ms": 30_000}).encode()
        await analyst.request("security.index.v1.incidents.search", wanted, timeout=WAIT)
        stats = json.loads((await analyst.request("security.index.v1.stats", timeout=WAIT)).data)
        assert stats.get("job") is None
        assert stats.get("last_job") is None


async def test_an_acknowledgement_in_the_log_is_a_dead_letter(stack: ClosedStack) -> None:
    """What a narrowed publisher has the server write where it may not write itself holds nothing, and is refused."""
    async with stack.bus.client("rules-editor") as (editor, _), stack.bus.precedent("operator") as operator:
        before = {letter.seq async for letter in operator.dead_letters()}
        reply_to = "security.events.v1.incidents.forged"
        await editor.publish("security.events.v1.rules.auth", b'{"text": "a rule"}', reply=reply_to)

        async def refused() -> None:
            letters = [letter async for letter in operator.dead_letters() if letter.seq not in before]
            assert [(letter.subject, letter.reason) for letter in letters] == [(reply_to, "invalid")]

        await eventually(refused, timeout=WAIT, attempt_timeout=INDEX_WAIT)
