"""A client without a server: started lazily, or cut off; and a client in an event loop that is not its own."""

import asyncio
from pathlib import Path

import pytest
from scripted_server import acknowledged, quiet, server

from precedent_backend_adapter import (
    Config,
    Credentials,
    Misconfigured,
    NotDelivered,
    OutboxConfig,
    Precedent,
    Refused,
    SecurityEvent,
    Timeouts,
    Unavailable,
)

EVENT = SecurityEvent(kind="auth", text="failed login")
# A question that waited for its own timeout would outlast the test's.
PATIENT = Config(timeouts=Timeouts(connect=0.5, question=600, publish=0.5, publish_attempt=0.2))


async def test_a_lazy_client_starts_without_a_server_and_connects_when_called() -> None:
    """Calls fail as without a connection, and work as soon as there is a server."""
    async with server(quiet) as (url, _):
        pass
    port = int(url.rpartition(":")[2])
    async with Precedent.connect(url, config=PATIENT, lazy=True) as precedent:
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1"):
            await precedent.stats()
        with pytest.raises(NotDelivered):
            await precedent.publish(EVENT)
        async with server(lambda line, to: acknowledged(to, 3) if line.startswith(b"HPUB") else b"", port=port):
            assert (await precedent.publish(EVENT)).seq == 3


async def test_a_lazy_client_that_is_never_called_opens_no_connection() -> None:
    """Starting and leaving cost nothing."""
    async with server(quiet) as (url, heard), Precedent.connect(url, config=PATIENT, lazy=True):
        pass
    assert heard == []


async def test_a_lazy_client_raises_at_the_first_call_what_connect_would_raise(tmp_path: Path) -> None:
    """A file that cannot be read is a wrong setting, whenever it is found."""
    config = Config(credentials=Credentials(creds_file=tmp_path / "none"), timeouts=PATIENT.timeouts)
    async with server(quiet) as (url, _), Precedent.connect(url, config=config, lazy=True) as precedent:
        with pytest.raises(Misconfigured, match="creds file"):
            await precedent.stats()


async def test_a_question_while_nats_is_away_fails_within_the_time_to_connect() -> None:
    """It does not wait for the answer to a question that cannot be asked."""
    async with server(quiet) as (url, _):
        connecting = Precedent.connect(url, config=PATIENT)
        precedent = await connecting.__aenter__()
    try:
        with pytest.raises(Unavailable):
            await precedent.stats()
        with pytest.raises(Unavailable, match=r"no connection to NATS within 0\.5 s"):
            await precedent.stats()
    finally:
        await connecting.__aexit__(None, None, None)


def test_the_time_to_connect_is_two_seconds() -> None:
    """The default that the documents name."""
    assert Timeouts().connect == 2


async def test_another_event_loop_is_told_so(tmp_path: Path) -> None:
    """Every call from it is refused with the remedy, where asyncio would fail obscurely or wait for ever."""
    config = Config(timeouts=PATIENT.timeouts, outbox=OutboxConfig(path=tmp_path / "outbox"))
    async with server(quiet) as (url, _), Precedent.connect(url, config=config, lazy=True) as precedent:
        queued = await precedent.publish(EVENT)
        calls = [
            lambda: precedent.publish(EVENT),
            precedent.stats,
            precedent.outbox_status,
            precedent.flush,
            queued.delivered,
            lambda: precedent.search("x", after=queued),
        ]
        for call in calls:
            with pytest.raises(Refused, match=r"another event loop.*precedent_backend_adapter\.sync"):
                await asyncio.to_thread(lambda call=call: asyncio.run(call()))  # type: ignore[misc] # bound in the loop
