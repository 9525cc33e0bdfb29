"""Fixtures of the fault tests: a ledger, a patient publisher, and indexers that are rigged."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.ledger import Ledger
from faults.publishing import Publisher
from faults.rigging import Orders, rigged_indexer
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.wire import Wire

pytest.register_assert_rewrite("faults.invariant")

NewRigged = Callable[..., tuple[IndexerProcess, Orders]]
"""The fixture `new_rigged`: an indexer that is not started yet, and what may be ordered of it."""


@pytest.fixture
def ledger() -> Ledger:
    """What was acknowledged in this test."""
    return Ledger()


@pytest.fixture
def publisher(own_wire: Wire, ledger: Ledger) -> Publisher:
    """Publishes into the test's own log, and writes it down."""
    return Publisher(own_wire, ledger)


@pytest.fixture
def new_rigged(server: NatsServer, tmp_path: Path) -> Iterator[NewRigged]:
    """Makes rigged indexers on the test's own server; see `rigged_indexer`."""
    made: list[IndexerProcess] = []

    def make(*, url: str | None = None, words: bool = True, **settings: str) -> tuple[IndexerProcess, Orders]:
        folder = tmp_path / f"rigged-{len(made)}"
        indexer, orders = rigged_indexer(url or server.url, folder, words=words, **settings)
        made.append(indexer)
        return indexer, orders

    yield make
    for one in made:
        one.kill()
