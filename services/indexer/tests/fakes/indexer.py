"""A whole indexer over fakes that can be killed and started again, and what must hold of it at any moment."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from fakes.beside_store import NoMarker, NoVectors
from fakes.chaos import Chaos, Doom, Killed
from fakes.checkpoint import FakeCheckpoint
from fakes.dead_letters import FakeDeadLetters
from fakes.deliveries import FakeDeliveries, Quirk
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.log_model import KILLER, POISON, meaning, replayed, to_erase, unburied
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Identity, Vectors
from precedent_indexer.domain.operations import Delete
from precedent_indexer.domain.rows import INDEX_FORMAT, OutcomeRecord, Row
from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest import applier as applying
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.ingest.supervisor import Ingest
from precedent_indexer.observability.metrics import Metrics, discard_metrics

_PATIENCE = 20_000
_ACK_WAIT = 100
"""Turns of the event loop after which what is not settled comes again."""


class InnocentBlamedError(Exception):
    """A plan killed the process twice while the same harmless message was named alone: nobody could tell."""


class FailingEmbedder(FakeEmbedder):
    """Cannot embed poison, is killed by a killer; at a planned step it goes down until somebody has probed it."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self._chaos = chaos
        self._down = False

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed, unless it is down or given poison."""
        try:
            self._chaos.step("embedder.embed", RuntimeError("fake: down"))
        except RuntimeError:
            self._down = True
        if self._down:
            self._down = applying._PROBE not in texts
            raise RuntimeError("fake: down")
        if any(KILLER in text for text in texts):
            raise Killed("fake: killer")
        if any(POISON in text for text in texts):
            raise RuntimeError("fake: poison")
        return super().embed(texts)


class FailingStore(FakeVectorStore):
    """At a planned step it goes down, and stays so for two operations more: whoever asks again finds it down."""

    _down_for = 0

    def _step(self, operation: str) -> None:
        if self._down_for:
            self._down_for -= 1
            raise StoreUnavailable("fake: down")
        try:
            super()._step(operation)
        except StoreUnavailable:
            self._down_for = 2
            raise


class FakeIndexer:
    """Log, store, consumer and dead letters outlive the process; the corridor above them is built anew."""

    def __init__(
        self, plan: Mapping[int, Doom], quirks: Sequence[Quirk], batch_size: int, metrics: Metrics | None = None
    ) -> None:
        self.chaos = Chaos(plan)
        self.log = FakeLog(self.chaos)
        self.store = self._empty_store()
        self.feed = FakeDeliveries(self.log, self.chaos, quirks)
        self.dead_letters = FakeDeadLetters(self.chaos)
        self.checkpoint = FakeCheckpoint(self.feed, self.chaos)
        self.checkpoint.on_save = self.check_covered
        self.feed.on_settle = self.check_settlement
        self.lives = 0
        self.named_alone: Counter[int] = Counter()
        """How often a message was named alone when the process was killed."""
        self._batch_size = batch_size
        self._metrics = metrics or discard_metrics()
        self._start()

    def _empty_store(self) -> FailingStore:
        store = FailingStore(self.chaos)
        store._identity = Identity("fake", self.log.created, "fake", 0, INDEX_FORMAT)
        return store

    def _start(self) -> None:
        self.lives += 1
        self.checkpoint.reopen()
        self.progress = Progress(self.checkpoint.saved)
        self.deletion_results = DeletionResults()
        self.applier = Applier(
            store=self.store,
            embedding=embedding_of(FailingEmbedder(self.chaos)),
            dead_letters=self.dead_letters,
            source=self.log,
            workers=InlineWorkers(),
            max_collections=64,
            vectors=NoVectors(),
            deleted_text=NoMarker(),
            deletion_results=self.deletion_results,
            metrics=self._metrics,
        )
        self.ingest = Ingest(
            feed=self.feed,
            source=self.log,
            applier=self.applier,
            progress=self.progress,
            checkpoint=self.checkpoint,
            batch_size=self._batch_size,
            saves_each=False,
            metrics=self._metrics,
        )
        self._task = asyncio.create_task(self.ingest.run())

    async def run(self, turns: int) -> None:
        """Let it work for so many turns of the event loop; killed, it is started again."""
        for _ in range(turns):
            await asyncio.sleep(0)
            if self._task.done():
                self._dead_letter()
                self._start()

    async def run_to_the_end(self) -> None:
        """Let it work until nothing is left to do, and stop it softly."""
        for exclusive_lock in range(_PATIENCE):
            if exclusive_lock % _ACK_WAIT == 0:
                self.feed.let_ack_wait_pass()
            await self.run(1)
            if self.progress.indexed_seq == self.log.last_seq and not self.feed.pending_acks and not self.chaos.plan:
                self.ingest.stop()
                await asyncio.wait({self._task})
                if self._task.exception() is None and self.checkpoint.saved == self.log.last_seq:
                    return
                self._dead_letter()
                self._start()
            elif self.progress.indexed_seq == self.log.last_seq:
                self.chaos.plan.clear()
        raise AssertionError(
            f"still at {self.progress.indexed_seq} of {self.log.last_seq}, unsettled: {self.feed.pending_acks}"
        )

    async def lose_the_index(self) -> None:
        """Killed, and started again over an empty store: all that is left is the log."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self.feed.forget_client()
        self.store = self._empty_store()
        self.checkpoint.saved = 0
        self.checkpoint.journal.left = ""
        self._start()

    def _dead_letter(self) -> None:
        try:
            self._task.result()
        except Killed:
            self.feed.forget_client()
            alone = json.loads(self.checkpoint.journal.left or '{"alone": 0}')["alone"]
            self.named_alone[alone] += 1
            if alone and self.named_alone[alone] > 1 and alone not in self.refused():
                raise InnocentBlamedError(alone) from None

    def refused(self) -> set[int]:
        """Sequences of what must become dead letters."""
        return {seq for seq, message in self.log.history.items() if meaning(message) is None}

    def check_covered(self, seq: int) -> None:
        """The store is at least as far as `seq`: everything up to there is in it, or deleted later."""
        for collection, wanted in replayed(self.log.history, seq).items():
            rows, outcomes = self.store.contents(collection)
            claims: list[tuple[str, Row | OutcomeRecord]] = [*wanted.rows.items(), *wanted.outcomes.items()]
            for event_id, claimed in claims:
                where: Mapping[str, Row | OutcomeRecord] = rows if isinstance(claimed, Row) else outcomes
                held = where.get(event_id)
                there = held is not None and held.seq >= claimed.seq
                assert there or self._deleted_after(seq, collection, event_id), (seq, claimed)
        buried = self.refused() - unburied(self.log.history)
        assert {one for one in buried if one <= seq} <= self.dead_letters.letters.keys()

    def check_settlement(self, seq: int, how: str) -> None:
        """What is settled is covered, and only what is a dead letter is terminated."""
        assert seq <= self.progress.indexed_seq, f"{how} of {seq}, but the index covers {self.progress.indexed_seq}"
        self.check_covered(seq)
        assert how == "ack" or seq in self.refused()

    def check_end(self) -> None:
        """The index, the dead letters and what is left of the log are as the plain model says."""
        wanted = replayed(self.log.history)
        for collection in {*wanted, *self.store.collections()}:
            rows, outcomes = self.store.contents(collection)
            assert rows == (wanted[collection].rows if collection in wanted else {})
            assert outcomes == (wanted[collection].outcomes if collection in wanted else {})
        assert self.dead_letters.letters.keys() == self.refused() - unburied(self.log.history)
        assert self.log.messages.keys() == self.log.history.keys() - to_erase(self.log.history)

    def _deleted_after(self, seq: int, collection: str, event_id: str) -> bool:
        operations = [meaning(message) for later, message in self.log.history.items() if later > seq]
        return any(
            isinstance(one, Delete) and one.collection == collection and (one.ids is None or event_id in one.ids)
            for one in operations
        )
