"""Fixtures: one stack that most tests share, and private ones for tests that break or configure something."""

import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.stack import NewIndexer, Stack, running_stack
from harness.wire import Wire

pytest.register_assert_rewrite("client_conformance", "many_conformance", "outbox_conformance", "removal_conformance")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every program that is started and interrupted here.
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A running server and indexer for every test that keeps to collections of its own."""
    settings = {"PRECEDENT_MAX_COLLECTIONS": "4096"}
    async with running_stack(tmp_path_factory.mktemp("stack"), env=settings) as running:
        yield running


@pytest.fixture
async def wire(stack: Stack) -> AsyncIterator[Wire]:
    """A plain NATS connection to the shared stack."""
    async with Wire.connected(stack.server.url) as connected:
        yield connected


@pytest.fixture
def collection() -> str:
    """A collection of this test alone."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of this test alone."""
    with NatsServer(tmp_path / "jetstream") as running:
        yield running


@pytest.fixture
async def own_wire(server: NatsServer) -> AsyncIterator[Wire]:
    """A plain NATS connection to the test's own server."""
    async with Wire.connected(server.url) as connected:
        yield connected


@pytest.fixture
def new_indexer(server: NatsServer, tmp_path: Path) -> Iterator[NewIndexer]:
    """Makes indexers on the test's own server, not started yet; `directory` is the index, the rest are settings."""
    made: list[IndexerProcess] = []

    def make(directory: str = "chroma", **settings: str) -> IndexerProcess:
        log_path = tmp_path / f"indexer-{len(made)}.log"
        made.append(IndexerProcess(server.url, tmp_path / directory, env=settings, log_path=log_path))
        return made[-1]

    yield make
    for one in made:
        one.kill()


@pytest.fixture(scope="session")
def environment_python() -> Callable[[str], Path]:
    """The interpreter of another project's environment, such as `services/indexer`; it fails where there is none."""

    def find(project: str) -> Path:
        python = REPOSITORY / project / ".venv" / "bin" / "python"
        if not os.access(python, os.X_OK):
            pytest.fail(f"no environment at {python.parents[1]}: run `make setup`", pytrace=False)
        return python

    return find
