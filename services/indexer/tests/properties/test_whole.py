"""The whole indexer against a plain model: whatever is published, deleted, crashed or restored, it ends right."""

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from fakes.whole import WholeIndexer
from precedent_indexer.ingest import pipeline, supervisor
from precedent_indexer.maintenance import rebuild as rebuilding
from precedent_schemas.events import Deletion

IDS = ("a", "b", "c", "d")
"""Few, so that events, revisions, outcomes and deletions meet."""

some_ids = st.sampled_from(IDS)
texts = st.sampled_from(("failed login", "malware found", "port scan", "beacon"))
collections = st.sampled_from(("incidents", "incidents", "rules"))
verdicts = st.sampled_from(("benign", "true_positive"))


@dataclass
class Plain:
    """One collection, as anybody would describe it."""

    texts: dict[str, str] = field(default_factory=dict)
    verdicts: dict[str, str] = field(default_factory=dict)


class Whole(RuleBasedStateMachine):
    """Every rule does the same to the indexer's world and to the model."""

    numbered = Bundle("numbered")
    """Ids of events that came without one."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="whole-indexer-")
        self._runner = asyncio.Runner()
        self._indexer = WholeIndexer(Path(self._folder.name))
        self._model = {"incidents": Plain(), "rules": Plain()}
        self._refused: set[int] = set()
        self._runner.run(self._indexer.start())
        self._is_alive = True
        """Where a start or an end fails, that is what failed: there is nothing more to check."""

    @rule(event_id=some_ids, text=texts, collection=collections)
    def publish(self, event_id: str, text: str, collection: str) -> None:
        """An event, or a revision of it."""
        self._indexer.log.publish_event({"id": event_id, "text": text}, collection)
        self._model[collection].texts[event_id] = text

    @rule(target=numbered, text=texts)
    def publish_without_id(self, text: str) -> str:
        """An event that is named by its sequence."""
        event_id = f"seq-{self._indexer.log.publish_event({'text': text})}"
        self._model["incidents"].texts[event_id] = text
        return event_id

    @rule(event_id=st.one_of(some_ids, numbered), verdict=verdicts, collection=collections)
    def decide(self, event_id: str, verdict: str, collection: str) -> None:
        """An outcome, also of what is not there."""
        self._indexer.log.publish_outcome({"event_id": event_id, "verdict": verdict}, collection)
        self._model[collection].verdicts[event_id] = verdict

    @rule(ids=st.lists(st.one_of(some_ids, numbered), min_size=1, max_size=3, unique=True), collection=collections)
    def delete(self, ids: list[str], collection: str) -> None:
        """A deletion by ids."""
        self._indexer.log.delete(Deletion(ids=ids), collection)
        for one in ids:
            self._model[collection].texts.pop(one, None)
            self._model[collection].verdicts.pop(one, None)

    @rule(collection=collections)
    def clear(self, collection: str) -> None:
        """A deletion of everything."""
        self._indexer.log.delete(Deletion(all=True), collection)
        self._model[collection] = Plain()

    @rule(data=st.sampled_from((b"{", b'{"text": 1}', b'{"text": "x", "severity": 9}')))
    def publish_poison(self, data: bytes) -> None:
        """What cannot be indexed."""
        self._refused.add(self._indexer.log.publish("security.events.v1.incidents.auth", data))

    @rule(turns=st.integers(1, 60))
    def work(self, turns: int) -> None:
        """The indexer gets some time."""
        self._runner.run(self._indexer.work(turns))

    @rule(turns=st.integers(0, 60))
    def crash(self, turns: int) -> None:
        """It ends without a word in the middle of its work, and is started again."""
        self._between_lives(turns)

    @rule(turns=st.integers(0, 60))
    def rebuild(self, turns: int) -> None:
        """A rebuild is begun, and is under way."""
        self._runner.run(self._indexer.begin_rebuild())
        self._runner.run(self._indexer.work(turns))

    @rule()
    def copy(self) -> None:
        """Its files are copied."""
        self._between_lives(0, self._indexer.take_copy)

    @rule()
    def restore(self) -> None:
        """An older copy takes the place of its files."""
        self._between_lives(0, self._indexer.put_copy_back)

    @rule()
    def lose(self) -> None:
        """Its files are gone."""
        self._between_lives(0, self._indexer.lose_the_files)

    @rule()
    def delete_consumer(self) -> None:
        """Somebody deletes the consumer."""
        self._indexer.feed.delete()

    @rule()
    def redeliver(self) -> None:
        """What is not settled comes again."""
        self._indexer.feed.let_ack_wait_pass()

    @rule()
    def catch_up(self) -> None:
        """In the end, it holds what the model holds."""
        self._check_end()

    @invariant()
    def watermark_is_never_ahead(self) -> None:
        """What the index says of itself is at most what this process has indexed, and that at most the log."""
        identity = self._indexer.index.store.identity()
        assert identity is not None
        assert identity.watermark <= self._indexer.progress.indexed_seq <= self._indexer.log.last_seq

    def teardown(self) -> None:
        """However a script ends, it ends right."""
        try:
            if self._is_alive:
                self._check_end()
                self._runner.run(self._indexer.crash())
        finally:
            self._runner.close()
            self._folder.cleanup()

    def _between_lives(self, turns: int, act: Callable[[], None] | None = None) -> None:
        self._runner.run(self._indexer.work(turns))
        self._is_alive = False
        self._runner.run(self._indexer.crash())
        if act is not None:
            act()
        self._runner.run(self._indexer.start())
        self._is_alive = True

    def _check_end(self) -> None:
        indexer = self._indexer
        self._runner.run(indexer.work_to_the_end())
        for collection, plain in self._model.items():
            rows = indexer.index.store.window(collection, 0, indexer.log.last_seq, None)
            assert {row.event.id: row.event.text for row in rows} == plain.texts
            shown = {row.event.id: row.outcome.outcome.verdict for row in rows if row.outcome}
            assert shown == {one: verdict for one, verdict in plain.verdicts.items() if one in plain.texts}
            assert indexer.index.store.count(collection) == len(plain.texts)
        assert indexer.dead_letters.letters.keys() == self._refused


@pytest.fixture
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures are retried at once, and the watermark is saved at every chance."""
    monkeypatch.setattr(supervisor, "_FIRST_BACKOFF_S", 0)
    monkeypatch.setattr(supervisor, "_LAST_BACKOFF_S", 0)
    monkeypatch.setattr(pipeline, "_SAVE_EVERY_S", -1.0)
    monkeypatch.setattr(rebuilding, "_SAVE_EVERY_S", -1.0)


@pytest.mark.usefixtures("_no_waiting")
@pytest.mark.timeout(300)
def test_the_index_is_what_the_model_says_whatever_happens() -> None:
    """Published, revised, decided, deleted, crashed, rebuilt, copied and restored in any order, it ends right."""
    run_state_machine_as_test(
        Whole,
        settings=settings(
            max_examples=10,
            stateful_step_count=20,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
