"""Fixtures of the cluster tests: three servers, streams with three replicas, an indexer, and somebody who asks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cluster.servers import Cluster
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.wire import Wire

pytest.register_assert_rewrite("faults.invariant")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three servers of this test alone."""
    with Cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def wire(cluster: Cluster) -> AsyncIterator[Wire]:
    """A plain NATS connection that moves to another server when its own is gone."""
    async with Wire.connected(cluster.urls[0]) as connected:
        yield connected


@pytest.fixture
async def indexer(cluster: Cluster, tmp_path: Path) -> AsyncIterator[IndexerProcess]:
    """An indexer on streams that `init` has just made with three replicas; started, ready, and ended."""
    environment = {"NATS_URL": ",".join(cluster.urls), "PRECEDENT_REPLICAS": "3"}
    made = await asyncio.to_thread(run_indexer_command, ["init"], environment, 90)
    assert made.returncode == 0, made.stderr
    process = IndexerProcess(
        environment["NATS_URL"], tmp_path / "chroma", log_path=tmp_path / "indexer.log", probe_url=cluster.urls[0]
    )
    async with process:
        yield process
