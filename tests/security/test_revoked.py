"""A key that the server forgets while its user runs: told at once, tried again calmly, and good again by itself.

Every timeout of the clients is longer than a test may take: who waits for one instead of being told fails the test.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.indexer_process import run_indexer_command
from harness.waits import eventually
from precedent_backend_adapter import (
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    NotPermitted,
    Precedent,
    SecurityEvent,
    Unavailable,
)
from security.closed_bus import NEVER, WAIT, ClosedBus, begin_precedent, closed_bus, init, log_of

EVENT = SecurityEvent(kind="auth", text="failed login")
REFUSED = 3
SAYS = "(?i)authorization violation"


@pytest.fixture
def bus(tmp_path: Path, team_plan: Path) -> Iterator[ClosedBus]:
    """A server of its own, whose keys may be taken away."""
    with closed_bus(tmp_path / "keys", team_plan) as running:
        yield running


async def until_refused(publishing: Precedent) -> None:
    """Publish until the server has taken the key away; the one in flight then may be in the log."""

    async def publish_on() -> None:
        while True:
            await publishing.publish(EVENT)

    with pytest.raises((NotDelivered, DeliveryUnknown), match=SAYS):
        await asyncio.wait_for(publish_on(), WAIT)


async def test_a_publisher(bus: ClosedBus) -> None:
    """Each publish fails at once with the refusal; with the key given back, the same client publishes again."""
    await init(bus)
    async with bus.precedent("backend") as backend:
        await backend.publish(EVENT)
        give_back = bus.revoke("backend")
        await until_refused(backend)
        for _ in range(20):
            with pytest.raises(NotDelivered, match=SAYS) as caught:
                await backend.publish(EVENT)
            assert caught.value.reason is NotDeliveredReason.NOT_PERMITTED
        give_back()

        async def works() -> None:
            await backend.publish(EVENT)

        await eventually(works, timeout=WAIT, attempt_timeout=WAIT, exceptions=NotDelivered)


async def test_an_asker(bus: ClosedBus) -> None:
    """Questions fail with the refusal, not as if nobody answered; `precedent tail` ends with it, also by exit code."""
    await init(bus)
    async with bus.indexer(bus.directory / "chroma"), bus.precedent("analyst") as analyst:
        tail = await begin_precedent("tail", "--every", "0.1", settings=bus.settings("analyst"))
        try:
            async with bus.precedent("backend") as backend:
                await backend.publish(EVENT)
            assert tail.stdout is not None
            async with asyncio.timeout(WAIT):
                assert b"failed login" in await tail.stdout.readline()
            bus.revoke("analyst")

            async def ask_on() -> None:
                while True:
                    # One that is in flight when the connection ends is not known to be refused yet.
                    with contextlib.suppress(Unavailable):
                        await analyst.stats()

            with pytest.raises(NotPermitted, match=SAYS):
                await asyncio.wait_for(ask_on(), WAIT)
            async with asyncio.timeout(WAIT):
                _, said = await tail.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                tail.kill()
    assert tail.returncode == REFUSED
    *looking, last = said.decode().splitlines()
    assert "authorization violation" in last.lower()
    assert [line for line in looking if not line.endswith("looking again")] == []


async def test_an_indexer(bus: ClosedBus, tmp_path: Path) -> None:
    """It ends by itself, so that its supervisor notices, and says the refusal; started again it says the same."""
    await init(bus)
    directory = tmp_path / "chroma"
    indexer = bus.indexer(directory)
    async with indexer:
        bus.revoke("indexer")
        assert await indexer.wait_exit(WAIT) == REFUSED
    lines = log_of(directory).read_text(encoding="utf-8").splitlines()
    [refused] = [line for line in lines if "nats_refused" in line]
    assert "authorization violation" in refused.lower()
    assert len([line for line in lines if "nats_error" in line and "authorization" in line.lower()]) == 1
    settings = bus.settings("indexer", PRECEDENT_START_TIMEOUT_S=str(NEVER), PRECEDENT_CHROMA_PATH=str(directory))
    done = await asyncio.to_thread(run_indexer_command, ["serve"], settings)
    assert done.returncode == REFUSED, done.stderr
    assert "authorization violation" in done.stderr.lower()
    assert "NATS_NKEY" in done.stderr
