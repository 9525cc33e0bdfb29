"""A client with an outbox over a real server and a real indexer: as every client with one does it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from client_conformance import PublishConformance
from many_conformance import PublishManyConformance
from outbox_conformance import Hold, OutboxConformance

from harness.relay import TcpRelay
from harness.stack import Stack
from precedent_backend_adapter import Backoff, Config, OutboxConfig, Precedent, Timeouts


@pytest.fixture
async def relay(stack: Stack) -> AsyncIterator[TcpRelay]:
    """A link to the shared stack that can break."""
    async with TcpRelay(stack.server.port) as running:
        yield running


@pytest.fixture
async def client(relay: TcpRelay, tmp_path: Path) -> AsyncIterator[Precedent]:
    """A backend's client, with an outbox."""
    config = Config(
        outbox=OutboxConfig(path=tmp_path / "outbox"),
        timeouts=Timeouts(connect=1, publish_attempt=1),
        backoff=Backoff(first=0.02, cap=0.2),
    )
    async with Precedent.connect(relay.url, config=config) as connected:
        yield connected


@pytest.fixture
def hold(relay: TcpRelay) -> Hold:
    """Cut the link, and restore it."""

    async def do(held: bool) -> None:
        await (relay.cut() if held else relay.restore())

    return do


class TestOutbox(OutboxConformance):
    pass


class TestPublish(PublishConformance):
    pass


class TestPublishMany(PublishManyConformance):
    pass
