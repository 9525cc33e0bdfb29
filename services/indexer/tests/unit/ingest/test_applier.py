"""Batches of the log into the index: what is refused, what is embedded, and what a deletion says that it removed."""

from collections.abc import Sequence
from typing import Any

import pytest

from fakes.beside_store import NoMarker, NoVectors
from fakes.chaos import Chaos, Doom
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Identity, Vectors, Writes
from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import Operation, decode
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.errors import ModelUnavailable, StoreUnavailable
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.ingest import applier as applying
from precedent_indexer.ingest import deletion as deleting
from precedent_indexer.ingest import poison as blaming
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.observability.metrics import discard_metrics
from precedent_schemas.events import Deletion
from precedent_schemas.failures import DeadReason

C = "incidents"


class CountingEmbedder(FakeEmbedder):
    """Remembers what it was given; fails on texts that hold a chosen word."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[list[str]] = []
        self.fails_on = "\x00never"

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed, or fail."""
        self.given.append(list(texts))
        if any(self.fails_on in text for text in texts):
            raise RuntimeError("fake")
        return super().embed(texts)


class FickleStore(FakeVectorStore):
    """Takes everything but events with a chosen id; when down, nothing at all."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__(chaos)
        self.set_identity(Identity("fake", "", "fake", 0, INDEX_FORMAT))
        self.refuses = ""
        self.failure: Exception = StoreUnavailable("fake")
        self.is_down = False
        self.is_broken = False
        """Its collections fail, while the rest of it works."""

    def set_identity(self, identity: Identity) -> None:
        """Keep it, unless it is down."""
        if vars(self).get("is_down"):
            raise StoreUnavailable("fake: down")
        super().set_identity(identity)

    def write(self, collection: str, writes: Writes) -> None:
        """Write, or fail."""
        if self.is_down or self.is_broken:
            raise StoreUnavailable("fake: down")
        if self.refuses in writes.rows:
            raise self.failure
        super().write(collection, writes)


class Bench:
    """An applier over fakes."""

    def __init__(self, max_collections: int = 64) -> None:
        self.chaos = Chaos()
        self.store = FickleStore(self.chaos)
        self.log = FakeLog()
        self.dead_letters = FakeDeadLetters()
        self.embedder = CountingEmbedder()
        embedding = embedding_of(self.embedder, cache_entries=100)
        self.cache = embedding.cache
        self.applier = Applier(
            store=self.store,
            embedding=embedding,
            dead_letters=self.dead_letters,
            source=self.log,
            workers=InlineWorkers(),
            max_collections=max_collections,
            vectors=NoVectors(),
            deleted_text=NoMarker(),
            deletion_results=DeletionResults(),
            metrics=discard_metrics(),
        )
        self.applied = 0

    async def apply(self) -> dict[int, Refusal]:
        """Apply what the log has got since the last time that this went well."""
        messages = [one for seq, one in sorted(self.log.messages.items()) if seq > self.applied]
        refusals = await self.applier.apply(messages)
        self.applied = self.log.last_seq
        return refusals

    def publish(self, **body: Any) -> int:
        """An event into the log."""
        return self.log.publish_event({"text": "failed login", **body})


async def test_each_distinct_text_of_a_batch_is_embedded_once() -> None:
    """Equal texts share one embedding, and yet lie apart in the index."""
    bench = Bench()
    for number in range(4):
        bench.publish(id=f"e{number}", text="same" if number else "other")
    await bench.apply()
    assert [sorted(call) for call in bench.embedder.given] == [["other", "same"]]
    vectors = [bench.store.vector(C, f"e{number}") for number in (1, 2)]
    assert vectors[0] is not None
    assert not (vectors[0] == vectors[1]).all()


async def test_a_text_that_cannot_be_embedded_does_not_take_its_neighbours_along() -> None:
    """It alone becomes a dead letter; the rest of the batch is indexed."""
    bench = Bench()
    bench.embedder.fails_on = "poison"
    for text in ("one", "poison", "two"):
        bench.publish(text=text)
    refusals = await bench.apply()
    assert refusals == {2: Refusal(DeadReason.UNPROCESSABLE, "the model cannot embed this text")}
    assert sorted(bench.store.contents(C)[0]) == ["seq-1", "seq-3"]
    assert bench.dead_letters.letters[2][0].data == b'{"text": "poison"}'


async def test_a_model_that_embeds_nothing_is_blamed_itself() -> None:
    """Where even a harmless text fails, nothing is dead-lettered: the fault is waited out."""
    bench = Bench()
    bench.embedder.fails_on = ""
    bench.publish()
    with pytest.raises(ModelUnavailable):
        await bench.apply()
    assert bench.dead_letters.letters == {}


async def test_a_collection_beyond_the_cap_is_refused_with_the_remedy() -> None:
    """The events of one collection too many become dead letters; those that exist still take events."""
    bench = Bench(max_collections=2)
    for collection in ("first", "second", "third", "first", "third"):
        bench.log.publish_event({"text": "x"}, collection)
    refusals = await bench.apply()
    assert sorted(refusals) == [3, 5]
    assert refusals[3].reason is DeadReason.UNPROCESSABLE
    assert "PRECEDENT_MAX_COLLECTIONS" in refusals[3].detail
    assert bench.store.collections() == ["first", "second"]
    bench.log.publish_event({"text": "x"}, "second")
    assert await bench.apply() == {}


async def test_what_became_a_dead_letter_stays_one_in_an_index_made_anew() -> None:
    """Also where it would be accepted now, since the cap was raised or a collection was emptied: never in both."""
    bench = Bench(max_collections=2)
    for collection in ("first", "second", "third"):
        bench.log.publish_event({"text": "x"}, collection)
    refused = await bench.apply()
    anew = Bench(max_collections=3)
    anew.log.messages, anew.log.last_seq = bench.log.messages, bench.log.last_seq
    anew.dead_letters.letters = bench.dead_letters.letters
    assert await anew.apply() == refused
    assert anew.store.collections() == ["first", "second"]
    anew.log.publish_event({"text": "x"}, "third")
    assert await anew.apply() == {}
    assert anew.store.collections() == ["first", "second", "third"]


async def test_what_is_refused_does_not_begin_a_collection() -> None:
    """Neither malformed events nor outcomes nor deletions make a collection exist; of these, only outcomes count."""
    bench = Bench(max_collections=2)
    bench.embedder.fails_on = "poison"
    bench.log.publish_event({"text": "x", "severity": 9}, "bad")
    bench.log.publish_event({"text": "poison"}, "worse")
    bench.log.publish_outcome({"event_id": "a", "verdict": "benign"}, "decided")
    bench.log.delete(Deletion(ids=["a"]), "deleted")
    bench.log.delete(Deletion(all=True), "cleared")
    bench.log.publish_event({"text": "x"}, "good")
    assert sorted(await bench.apply()) == [1, 2]
    assert bench.store.collections() == ["good"]


async def test_a_dead_letter_is_safe_before_the_batch_goes_on() -> None:
    """When the store fails, what was refused is a dead letter already; applied again, it still is only one."""
    bench = Bench()
    bench.log.publish("security.events.v1.incidents.auth", b"{")
    bench.publish()
    bench.store.is_down = True
    with pytest.raises(StoreUnavailable):
        await bench.apply()
    bench.store.is_down = False
    assert list(bench.dead_letters.letters) == [1]
    await bench.apply()
    assert list(bench.dead_letters.letters) == [1]
    assert bench.store.count(C) == 1


@pytest.mark.parametrize("failure", [StoreUnavailable("fake"), TypeError("fake"), KeyError("fake")])
async def test_what_the_store_cannot_take_does_not_take_its_neighbours_along(
    failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event that fails while everything else can be written alone becomes a dead letter, after some tries."""
    monkeypatch.setattr(blaming, "_BETWEEN_TRIES_S", 0)
    bench = Bench()
    bench.store.refuses, bench.store.failure = "b", failure
    for event_id in "abcd":
        bench.publish(id=event_id)
    bench.log.delete(Deletion(ids=["d"]))
    refusals = await bench.apply()
    assert sorted(refusals) == [2]
    assert refusals[2].reason is DeadReason.UNPROCESSABLE
    assert type(failure).__name__ in refusals[2].detail
    assert sorted(bench.store.contents(C)[0]) == ["a", "c"]
    assert list(bench.dead_letters.letters) == [2]


async def test_a_collection_that_takes_nothing_is_blamed_itself() -> None:
    """Where the rest of the store works but one collection is broken, none of its events is dead-lettered."""
    bench = Bench()
    bench.publish(id="a")
    await bench.apply()
    bench.store.is_broken = True
    bench.publish(id="b")
    with pytest.raises(StoreUnavailable):
        await bench.apply()
    assert bench.dead_letters.letters == {}
    bench.store.is_broken = False
    assert await bench.apply() == {}


async def test_a_hitch_of_the_store_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails once is tried again, and nothing is refused."""
    monkeypatch.setattr(blaming, "_BETWEEN_TRIES_S", 0)
    for step in range(8):
        bench = Bench()
        bench.publish(id="a")
        bench.publish(id="b")
        bench.chaos.strike_next(Doom.FAULT, after=step)
        try:
            refusals = await bench.apply()
        except StoreUnavailable:
            refusals = await bench.apply()
        assert refusals == {}
        assert sorted(bench.store.contents(C)[0]) == ["a", "b"]


async def test_what_cannot_even_be_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message over which decoding itself fails is a dead letter like any other."""

    def failing(message: LogMessage) -> Operation | Refusal:
        if message.seq == 1:
            raise RecursionError("fake")
        return decode(message)

    monkeypatch.setattr(applying, "decode", failing)
    bench = Bench()
    bench.publish(id="a")
    bench.publish(id="b")
    refusals = await bench.apply()
    assert sorted(refusals) == [1]
    assert "RecursionError" in refusals[1].detail


async def test_a_long_deletion_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the parts of an erasure that takes minutes, somebody is told that it goes on."""
    monkeypatch.setattr(deleting, "_ERASE_PART", 2)
    bench = Bench()
    signs = []
    for _ in range(5):
        bench.publish(id="a")
    await bench.apply()
    bench.applier.alive = lambda: signs.append(len(bench.log.erased))
    bench.log.delete(Deletion(ids=["a"]))
    await bench.apply()
    assert signs == [2, 4, 5]


async def test_a_deletion_says_what_it_removed() -> None:
    """The ids that were there, in the order of the deletion; a clear says how many."""
    bench = Bench()
    for event_id in "abc":
        bench.publish(id=event_id)
    some = bench.log.delete(Deletion(ids=["c", "zzz", "a"]))
    clear = bench.log.delete(Deletion(all=True))
    assert bench.applier.removed_by(some) is None
    await bench.apply()
    assert bench.applier.removed_by(some) == ["c", "a"]
    assert bench.applier.removed_by(clear) == 1
    assert set(bench.log.erased) == {1, 3}


@pytest.mark.parametrize("step", range(1, 13))
async def test_a_deletion_that_is_tried_again_still_says_what_it_removed(step: int) -> None:
    """Wherever the store fails on the way: what was there when it began is named in the end."""
    bench = Bench()
    for event_id in "ab":
        bench.publish(id=event_id)
    await bench.apply()
    some = bench.log.delete(Deletion(ids=["a", "b"]))
    bench.publish(id="c")
    bench.chaos.strike_next(Doom.FAULT, after=step - 1)
    try:
        await bench.apply()
    except StoreUnavailable:
        await bench.apply()
    assert bench.applier.removed_by(some) == ["a", "b"]
    assert sorted(bench.store.contents(C)[0]) == ["c"]


async def test_a_deletion_takes_refused_revisions_along() -> None:
    """A dead letter that names a deleted id, or has one by its sequence, goes with its original; the others stay."""
    bench = Bench()
    refused = [bench.publish(id="a", severity=9), bench.publish(severity=9)]
    kept = [bench.publish(id="b", severity=9), bench.log.publish("security.events.v1.incidents.auth", b"{")]
    kept.append(bench.log.publish_event({"text": "x", "id": "a", "severity": 9}, collection="rules"))
    bench.log.delete(Deletion(ids=["a", f"seq-{refused[1]}"]))
    kept.append(bench.publish(id="a", severity=9))
    await bench.apply()
    assert sorted(bench.dead_letters.letters) == kept
    assert sorted(bench.log.erased) == refused


async def test_no_vector_of_an_older_text_stays() -> None:
    """What a revision replaces is forgotten at once, in one batch or in two: its event may be deleted one day."""
    bench = Bench()
    for text in ("first", "second"):
        bench.publish(id="a", text=text)
    await bench.apply()
    bench.publish(id="a", text="third")
    await bench.apply()
    assert [text in bench.cache for text in ("first", "second", "third")] == [False, False, True]
    bench.log.delete(Deletion(ids=["a"]))
    await bench.apply()
    assert len(bench.cache) == 0


async def test_outcomes_alone_take_a_place_too() -> None:
    """Outcomes for ever new collections cannot make more of them than the cap allows."""
    bench = Bench(max_collections=2)
    bench.log.publish_outcome({"event_id": "e", "verdict": "benign"}, collection="first-one")
    bench.log.publish_outcome({"event_id": "e", "verdict": "benign"}, collection="second-one")
    refused = bench.log.publish_outcome({"event_id": "e", "verdict": "benign"}, collection="third-one")
    assert set(await bench.apply()) == {refused}
    bench.log.publish_event({"text": "its event"}, collection="second-one")
    assert await bench.apply() == {}
