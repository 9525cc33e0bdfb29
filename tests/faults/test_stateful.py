"""Real processes against the ledger: whatever is done to them in whatever order, it ends right."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from faults.rigging import rigged_indexer
from harness.nats_server import NatsServer
from harness.wire import CONSUMER, LOG, Wire

EXAMPLES = int(os.environ.get("FAULTS_EXAMPLES", "2"))
STEPS = int(os.environ.get("FAULTS_STEPS", "8"))
IDS = ("a", "b", "c", "d")
"""Few, so that events, revisions, outcomes and deletions meet."""

some_ids = st.sampled_from(IDS)


class Processes(RuleBasedStateMachine):
    """A server and an indexer; the component test `test_whole.py` of the indexer does the same more often."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = Path(tempfile.mkdtemp(prefix="precedent-processes-"))
        self._ledger = Ledger()
        self._stack = self._running()
        self._do(self._stack.__aenter__())

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        with NatsServer(self._folder / "jetstream") as self._server:
            self._indexer, _ = rigged_indexer(self._server.url, self._folder / "rigged")
            async with Wire.connected(self._server.url) as self._wire, self._indexer:
                self._publisher = Publisher(self._wire, self._ledger)
                yield

    @rule(event_id=some_ids)
    def publish(self, event_id: str) -> None:
        """An event, or a revision of it."""
        self._do(self._publisher.event(event_id))

    @rule(count=st.integers(1, 100))
    def publish_many(self, count: int) -> None:
        """Events with ids of their own."""
        self._do(self._publisher.events(count))

    @rule(event_id=some_ids, verdict=st.sampled_from(("benign", "true_positive")))
    def decide(self, event_id: str, verdict: str) -> None:
        """An outcome, also of what is not there."""
        self._do(self._publisher.decide(event_id, verdict))

    @rule(ids=st.lists(some_ids, min_size=1, max_size=3, unique=True))
    def delete(self, ids: list[str]) -> None:
        """A deletion that is answered."""
        self._do(self._publisher.delete(ids))

    @rule()
    def poison(self) -> None:
        """What cannot be indexed."""
        self._do(self._publisher.poison(b"{", "malformed"))

    @rule()
    def crash(self) -> None:
        """The indexer is killed and started again."""
        self._indexer.kill()
        self._start()

    @rule()
    def crash_the_server(self) -> None:
        """The server is killed and started again."""
        self._server.kill()
        self._server.start()

    @rule()
    def rebuild(self) -> None:
        """A rebuild is begun, or joined."""
        self._do(self._wire.request("security.index.v1.rebuild"))

    @rule()
    def delete_consumer(self) -> None:
        """Somebody deletes the consumer."""
        self._do(self._wire.api(f"CONSUMER.DELETE.{LOG}.{CONSUMER}"))

    @rule()
    def copy(self) -> None:
        """The index is copied."""
        assert self._do(self._indexer.terminate()) == 0
        shutil.rmtree(self._folder / "copy", ignore_errors=True)
        shutil.copytree(self._indexer.chroma_path, self._folder / "copy")
        self._start()

    @precondition(lambda self: (self._folder / "copy").exists())
    @rule()
    def restore(self) -> None:
        """An older copy takes the place of the index."""
        self._indexer.kill()
        shutil.rmtree(self._indexer.chroma_path)
        shutil.copytree(self._folder / "copy", self._indexer.chroma_path)
        self._start()

    def teardown(self) -> None:
        """However a script ends, it ends right."""
        try:
            self._do(holds(self._wire, self._ledger))
        finally:
            self._do(self._stack.__aexit__(None, None, None))
            self._runner.close()
            shutil.rmtree(self._folder)

    def _start(self) -> None:
        self._indexer.start()
        self._do(self._indexer.wait_ready())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)


@pytest.mark.timeout(600)
def test_processes_end_right_whatever_is_done_to_them() -> None:
    """Published, revised, decided, deleted, killed, rebuilt, copied and restored in any order, it ends right."""
    run_state_machine_as_test(
        Processes,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            # Shrinking would take an hour; the steps are printed.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
