"""Limits of the bus: for each publisher, and for the log; beyond them is refused loudly, and others go on."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import nats.errors
import pytest

from harness.waits import eventually
from precedent_backend_adapter import NotDelivered, NotDeliveredReason, Precedent, SecurityEvent
from security.closed_bus import INDEX_WAIT, WAIT, ClosedBus, closed_bus, closed_stack, init, settled


async def test_connections_of_one_publisher(team_bus: ClosedBus) -> None:
    """The publisher with limits of its own gets no fifth connection, is told why, and nobody else is kept out."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(team_bus.client("firewall"))
        with pytest.raises(nats.errors.Error):
            await held.enter_async_context(team_bus.client("firewall"))
        await held.enter_async_context(team_bus.client("backend"))

    async def one_more() -> None:
        async with team_bus.client("firewall"):
            pass

    # Once the server has noticed that the others are gone.
    await eventually(one_more, timeout=WAIT, attempt_timeout=WAIT, exceptions=nats.errors.Error)


async def test_subscriptions_of_one_publisher(team_bus: ClosedBus) -> None:
    """The server ends a connection that hoards subscriptions."""
    async with team_bus.client("firewall") as (firewall, complaints):
        with contextlib.suppress(nats.errors.Error):
            for n in range(17):
                await firewall.subscribe(f"_INBOX_firewall.{n}")
            await settled(firewall)

        def ended() -> None:
            assert "maximum subscriptions exceeded" in " ".join([*complaints, str(firewall.last_error)]).lower()
            assert firewall.is_closed

        await eventually(ended, timeout=WAIT, attempt_timeout=INDEX_WAIT)


async def test_payload_of_one_publisher(team_bus: ClosedBus) -> None:
    """A message beyond the publisher's limit ends its connection, before it is stored or handed to anybody."""
    async with team_bus.client("firewall") as (firewall, _):
        with contextlib.suppress(nats.errors.Error):
            await firewall.publish("security.events.v1.incidents.firewall", b"x" * 400_000)
            await settled(firewall)

        def ended() -> None:
            assert not firewall.is_connected
            assert "maximum payload exceeded" in team_bus.server.log_tail().lower()

        await eventually(ended, timeout=WAIT, attempt_timeout=INDEX_WAIT)


async def fill(backend: Precedent) -> NotDelivered:
    """Publish until it fails."""
    for _ in range(200):
        try:
            await backend.publish(SecurityEvent(kind="auth", text="x" * 30_000))
        except NotDelivered as error:
            return error
    raise AssertionError("the log takes everything")


async def test_a_full_log_refuses_and_recovers(tmp_path: Path, team_plan: Path) -> None:
    """A log at its bound refuses publishers by name, keeps what it has, still answers, and takes more when it may."""
    with closed_bus(tmp_path / "keys", team_plan) as bus:
        await init(bus, PRECEDENT_LOG_MAX_BYTES="1000000")
        async with (
            closed_stack(bus, tmp_path / "chroma"),
            bus.precedent("backend") as backend,
            bus.precedent("analyst") as analyst,
            bus.client("operator") as (operator, _),
        ):
            first = await backend.publish(SecurityEvent(kind="auth", text="the first of many"))
            error = await fill(backend)
            assert error.reason is NotDeliveredReason.LOG_FULL
            assert "max" in str(error)
            await analyst.search("first", k=1, after=first, wait=INDEX_WAIT)
            assert (await analyst.get([first.id])).events
            info = json.loads((await operator.request("$JS.API.STREAM.INFO.SECURITY_EVENTS", timeout=WAIT)).data)
            wider = json.dumps({**info["config"], "max_bytes": 10_000_000}).encode()
            changed = await operator.request("$JS.API.STREAM.UPDATE.SECURITY_EVENTS", wider, timeout=WAIT)
            assert "error" not in json.loads(changed.data)
            receipt = await backend.republish(error.pending)
            assert (await analyst.search("x", after=receipt, wait=INDEX_WAIT)).indexed_seq >= receipt.seq


async def test_streams_without_a_bound_are_not_made(tmp_path: Path, team_plan: Path) -> None:
    """An account whose streams must be bounded says so at `init`, with the settings to set."""
    refused = pytest.raises(AssertionError, match="PRECEDENT_LOG_MAX_BYTES")
    with closed_bus(tmp_path / "keys", team_plan) as bus, refused:
        await init(bus, PRECEDENT_LOG_MAX_BYTES="")
