"""Fixtures: two indexers over one Chroma server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.ledger import Ledger
from harness.nats_server import NatsServer
from replicas.shared import ChromaProcess, Replicas

pytest.register_assert_rewrite("faults.invariant")


@pytest.fixture
def ledger() -> Ledger:
    """What was acknowledged in this test."""
    return Ledger()


@pytest.fixture
async def chroma(tmp_path: Path) -> AsyncIterator[ChromaProcess]:
    """A Chroma server of this test alone."""
    server = ChromaProcess(tmp_path)
    server.start()
    try:
        await server.wait_ready()
        yield server
    finally:
        server.kill()


@pytest.fixture
async def replicas(server: NatsServer, chroma: ChromaProcess, tmp_path: Path) -> AsyncIterator[Replicas]:
    """Two of them, running."""
    both = Replicas(server.url, chroma.url, tmp_path, 2)
    try:
        yield await both.start()
    finally:
        both.kill()
