"""Revisions and outcomes folded over what is held: the later sequence wins, and nothing is forgotten."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.making import event, outcome, unit
from fakes.vector_store import FakeVectorStore
from precedent_indexer.domain.index_state import Writes
from precedent_indexer.domain.merge import fold
from precedent_indexer.domain.operations import PutEvent, PutOutcome
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_schemas.events import Verdict

C = "incidents"
Operations = Sequence[PutEvent | PutOutcome]


def put(seq: int, event_id: str = "a") -> PutEvent:
    """A revision that says which one it is."""
    return PutEvent(seq, event(event_id, text=f"revision {seq}"))


def decide(seq: int, event_id: str = "a") -> PutOutcome:
    """A decision that says which one it is."""
    return PutOutcome(seq, C, outcome(event_id, list(Verdict)[seq % 4], note=f"decision {seq}"))


def apply(store: FakeVectorStore, operations: Operations) -> Writes:
    """One batch into the store."""
    ids = [one.event.id if isinstance(one, PutEvent) else one.outcome.event_id for one in operations]
    vectors = {one.seq: unit(one.seq) for one in operations if isinstance(one, PutEvent)}
    writes = fold(operations, store.rows(C, ids), store.outcomes(C, ids), vectors)
    store.write(C, writes)
    return writes


def after(*batches: Operations) -> tuple[dict[str, Row], dict[str, OutcomeRecord]]:
    """What the store holds after these batches."""
    store = FakeVectorStore()
    for batch in batches:
        apply(store, batch)
    return store.contents(C)


def test_the_later_sequence_wins_and_earlier_ones_are_remembered() -> None:
    """A revision replaces an older one, never a newer one; all sequences are kept for a later erasure."""
    for batches in ([[put(1), put(5)]], [[put(1)], [put(5)]], [[put(5)], [put(1)]], [[put(5), put(1)]]):
        rows, _ = after(*batches)
        assert rows["a"] == Row(put(5).event, 5, (1, 5))


def test_an_outcome_meets_its_event_whichever_comes_first() -> None:
    """Before, after, in the same batch or not: the event shows the latest outcome."""
    record = OutcomeRecord(decide(3).outcome, 3, (2, 3))
    for batches in (
        [[decide(2), decide(3), put(4)]],
        [[decide(2)], [decide(3)], [put(4)]],
        [[put(4)], [decide(3)], [decide(2)]],
        [[put(4), decide(3), decide(2)]],
        [[decide(3)], [put(4), decide(2)]],
        [[put(4)], [decide(2), decide(3)]],
    ):
        rows, outcomes = after(*batches)
        assert outcomes == {"a": record}
        assert rows["a"].outcome == record


def test_a_revision_keeps_the_outcome() -> None:
    """A new revision of a decided event is still decided."""
    rows, _ = after([put(1)], [decide(2)], [put(3)])
    assert rows["a"].outcome is not None
    assert (rows["a"].seq, rows["a"].outcome.seq) == (3, 2)


def test_the_same_message_again_writes_nothing() -> None:
    """What is held already makes no writes at all."""
    store = FakeVectorStore()
    batch: Operations = [put(1), decide(2), put(3), put(4, "b"), decide(5, "c")]
    apply(store, batch)
    assert apply(store, batch) == Writes()
    assert apply(store, [put(1)]) == Writes()


def test_an_outcome_that_was_kept_but_not_shown_is_shown() -> None:
    """A write that broke off between the outcome and its event is made good when the message comes again."""
    store = FakeVectorStore()
    apply(store, [put(1)])
    store.write(C, Writes(outcomes={"a": OutcomeRecord(decide(2).outcome, 2, (2,))}))
    apply(store, [decide(2)])
    shown = store.rows(C, ["a"])["a"].outcome
    assert shown is not None
    assert shown.seq == 2


def test_each_revision_brings_its_own_vector() -> None:
    """The vector of the revision that wins is stored, and a superseded one changes no vector."""
    writes = fold([put(1), put(2)], {}, {}, {1: unit(1), 2: unit(2)})
    assert writes.rows["a"][1] is not None
    assert (writes.rows["a"][1] == unit(2)).all()
    store = FakeVectorStore()
    apply(store, [put(2)])
    apply(store, [put(1)])
    stored = store.vector(C, "a")
    assert stored is not None
    assert (stored == unit(2)).all()


operations = st.lists(
    st.tuples(st.booleans(), st.sampled_from("ab")),
    min_size=1,
    max_size=8,
).map(lambda some: [put(seq, one) if is_event else decide(seq, one) for seq, (is_event, one) in enumerate(some, 1)])


@settings(max_examples=150, deadline=None, database=None)
@given(operations=operations, data=st.data())
def test_any_order_of_arrival_ends_the_same(operations: list[PutEvent | PutOutcome], data: st.DataObject) -> None:
    """Shuffled, repeated and cut into batches anyhow: the end is that of the log in order, one message at a time."""
    expected = after(*[[one] for one in operations])
    arrivals = data.draw(st.permutations(operations + data.draw(st.lists(st.sampled_from(operations), max_size=4))))
    batches: list[list[PutEvent | PutOutcome]] = [[]]
    for one in arrivals:
        if data.draw(st.booleans()):
            batches.append([])
        batches[-1].append(one)
    assert after(*batches) == expected
