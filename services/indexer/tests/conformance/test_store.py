"""What every vector store promises; Chroma and the fake keep the same promises."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from fakes.fence import FakeFence
from fakes.making import decided, outcome, row, unit, writes_of
from fakes.servers import chroma_server
from fakes.vector_store import FakeVectorStore
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.chroma.server import ChromaServer
from precedent_indexer.api.filter import compile_filter
from precedent_indexer.domain import row_digest
from precedent_indexer.domain.index_state import Identity, Where, Writes
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.domain.row_digest import StoredDigests
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_indexer.errors import IndexBroken, StoreUnavailable
from precedent_indexer.settings import Settings
from precedent_schemas.events import Verdict
from precedent_schemas.questions import Filter

C = "incidents"
IDENTITY = Identity("a" * 32, "2026-01-01T00:00:00.123456789Z", "sha256:feed", 2**53 + 1, 1)
FULL = row(
    "id:/@+=._-9",
    7,
    record=decided("id:/@+=._-9", 8, Verdict.TRUE_POSITIVE, mitigation="blocked", note="näh 🚨", by="anna"),
    kind="auth.brute_force.ssh.fast",
    text="5000 failed logins for admin",
    occurred_at=datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    severity=5,
    source="sshd",
    user="admin ünï",
    ip="2001:db8::ffff",
    attributes={"n": 2**63 - 1, "f": 0.1, "whole": 1.0, "yes": True, "s": "x", "list": ["a", "b"], "none": []},
)


@pytest.fixture(scope="session")
def chroma_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Chroma server that all tests share, each with a generation of its own."""
    with chroma_server(tmp_path_factory.mktemp("chroma-server")) as url:
        yield url


@pytest.fixture(params=["fake", "chroma", "server"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], VectorStore]]:
    """Opens the store under test, each time anew; the fake has no files and stays what it is."""
    fake = FakeVectorStore()
    opened: list[VectorStore] = []
    generation = f"generation-{uuid.uuid4().hex}"

    def open_it() -> VectorStore:
        if opened:
            opened[-1].close()
        fake.closed = False
        if request.param == "fake":
            opened.append(fake)
        elif request.param == "chroma":
            opened.append(ChromaStore.open(tmp_path))
        else:
            settings = Settings(precedent_chroma_url=request.getfixturevalue("chroma_url"))
            opened.append(ChromaServer.connect(settings).open(generation, FakeFence()))
        return opened[-1]

    yield open_it
    if opened:
        opened[-1].close()


@pytest.fixture
def store(reopen: Callable[[], VectorStore]) -> VectorStore:
    """The store under test, empty."""
    return reopen()


def test_an_empty_store_says_nothing_and_fails_at_nothing(store: VectorStore) -> None:
    """Every question to a collection that is not there has an empty answer, and none makes it come into being."""
    assert store.identity() is None
    assert not store.exists(C)
    assert store.count(C) == 0
    assert store.rows(C, ["e1"]) == {}
    assert store.outcomes(C, ["e1"]) == {}
    assert store.vector(C, "e1") is None
    assert store.nearest(C, unit(1), 5, None) == []
    assert store.nearest_ids(C, unit(1), 5, None) == []
    assert store.vectors(C, None, None)[0] == []
    assert store.window(C, 1, 10, None) == []
    store.remove(C, ["e1"], ["e1"])
    assert store.remove_before(C, 10) == 0
    assert store.collections() == []


def test_imprints_are_what_they_must_be(reopen: Callable[[], VectorStore]) -> None:
    """What is stored of an event and of its outcome has the imprint of what was written, also after a restart."""
    store = reopen()
    decided_first = decided("early", 4, note="n")
    store.write(C, writes_of(FULL, row("plain"), row("nul", text="\x00 in it", attributes={"list": ["b", "a"]})))
    store.write(C, Writes(outcomes={"early": decided_first}))
    store = reopen()
    assert sorted(store.ids(C)) == sorted([FULL.event.id, "plain", "nul", "early"])
    found = store.digests(C, [FULL.event.id, "plain", "nul", "early", "unknown"])
    assert FULL.outcome is not None
    shown, kept = row_digest.of_outcome(FULL.outcome)
    assert found == {
        FULL.event.id: StoredDigests(row_digest.of_event(FULL), shown, kept, has_vector=True),
        "plain": StoredDigests(row_digest.of_event(row("plain")), has_vector=True),
        "nul": StoredDigests(
            row_digest.of_event(row("nul", text="\x00 in it", attributes={"list": ["b", "a"]})), has_vector=True
        ),
        "early": StoredDigests(kept=row_digest.of_outcome(decided_first)[1]),
    }
    assert store.ids("none") == []
    assert store.digests("none", ["plain"]) == {}


def test_create_makes_an_empty_collection_once(store: VectorStore) -> None:
    """A collection that was created exists, is empty, and survives being created again with its rows."""
    store.create(C)
    assert store.exists(C)
    assert store.count(C) == 0
    store.write(C, writes_of(row()))
    store.create(C)
    assert store.count(C) == 1


def test_collections_are_those_of_events_alone(store: VectorStore) -> None:
    """Neither the companions that hold outcomes nor the identity are counted among the collections."""
    store.set_identity(IDENTITY)
    store.write("zeta", writes_of(row("e1", record=decided())))
    store.write("alpha-1_x", writes_of(row("e1")))
    store.write("outcomes-only", Writes(outcomes={"e1": decided()}))
    assert store.collections() == ["alpha-1_x", "zeta"]
    assert not store.exists("outcomes-only")


@pytest.mark.parametrize(
    "wanted",
    [
        FULL,
        row(),
        row("unicode", text="Ärger 不正なログイン 🚨 \u202e \U0010ffff \u200b"),
        row("nul", text="before\x00after\x00\x00 the end"),
        row("nul-first", text="\x00"),
        row("long", text="x🚨" * 16_384),
        row("quotes", text='\'; DROP TABLE "events" -- \\ % _', user="%", source="_"),
        row("lists", attributes={"s": ["b", "a", "b"], "n": [1, 2.5, 1.0], "b": [True, False]}),
        row("keys", attributes={".": "a=b", "-": "=", "_": ""}),
        row("extreme", attributes={"low": -(2**63), "high": 2**63 - 1, "tiny": 5e-324, "huge": 1.7e308, "zero": -0.0}),
        row("wide", attributes={f"key-{n}": "v" * 200 for n in range(64)}),
        row("v4", ip="0.0.0.0"),
        row("v6", ip="ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        row("far", occurred_at=datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        row("early", occurred_at=datetime(1, 1, 1, tzinfo=UTC)),
        replace(row("seqs", 2**53 + 1), seqs=(1, 5, 2**53 + 1)),
        row("list-of-10000", attributes={"list": list(range(10_000))}),
        replace(row("revised-10000-times", 10_000), seqs=tuple(range(1, 10_001))),
        row("decided-10000-times", record=replace(decided("decided-10000-times", 8), seqs=tuple(range(1, 10_001)))),
    ],
    ids=lambda one: one.event.id,
)
def test_a_row_comes_back_as_it_was_written(reopen: Callable[[], VectorStore], wanted: Row) -> None:
    """Every field of a row survives, to the bit and through a restart, and so does the direction of its vector."""
    store = reopen()
    store.write(C, writes_of(wanted))
    for _ in range(2):
        (found,) = store.rows(C, [wanted.event.id]).values()
        assert found == wanted
        assert repr(found.event.attributes) == repr(wanted.event.attributes)
        vector = store.vector(C, wanted.event.id)
        assert vector is not None
        np.testing.assert_allclose(vector, unit(wanted.seq), atol=1e-6)
        store = reopen()


def test_a_new_revision_replaces_the_old_one_wholly(store: VectorStore) -> None:
    """What the later revision lacks is gone: in the row, and for every way of narrowing."""
    store.write(C, writes_of(FULL))
    plain = row(FULL.event.id, 9)
    store.write(C, writes_of(plain))
    assert store.rows(C, [FULL.event.id]) == {FULL.event.id: plain}
    assert store.count(C) == 1
    for gone in (
        {"source": {"$in": ["sshd"]}},
        {"user": {"$in": ["admin ünï"]}},
        {"ip": {"$in": ["2001:db8::ffff"]}},
        {"ip_low": {"$gte": -(2**63)}},
        {"kinds": {"$contains": "auth.brute_force"}},
        {"attributes": {"$contains": "s=s:x"}},
        {"verdict": {"$in": ["true_positive"]}},
        {"seq": {"$lte": 8}},
    ):
        assert store.window(C, 1, 100, Where(gone)) == [], gone
    assert store.window(C, 1, 100, Where(contains="failed logins")) == []
    assert store.nearest(C, unit(7), 1, None)[0][1] < 0.9


def test_outcomes_are_kept_beside_and_shown_with_their_events(store: VectorStore) -> None:
    """An outcome is kept whether its event is there or not; `joined` shows it with the event, and takes it away."""
    record = OutcomeRecord(outcome("e1", Verdict.FALSE_POSITIVE, note="a test"), 5, (2, 5))
    store.write(C, writes_of(row("e1", 3)))
    store.write(C, Writes(outcomes={"e1": record, "to-come": decided("to-come", 4)}, joined={"e1": record}))
    assert store.outcomes(C, ["e1", "to-come", "no"]) == {"e1": record, "to-come": decided("to-come", 4)}
    assert store.rows(C, ["e1", "to-come"]) == {"e1": row("e1", 3, record=record)}
    narrowed = Where({"verdict": {"$in": ["false_positive"]}})
    assert [one.event.id for one in store.window(C, 1, 9, narrowed)] == ["e1"]
    store.write(C, Writes(joined={"e1": None}))
    assert store.rows(C, ["e1"]) == {"e1": row("e1", 3)}
    assert store.window(C, 1, 9, narrowed) == []


def test_changes_of_unknown_rows_are_silent(store: VectorStore) -> None:
    """A change of a row that is not there makes none."""
    store.create(C)
    store.write(C, Writes(joined={"e1": decided()}, seqs={"e2": (1, 2)}))
    assert store.count(C) == 0


def test_longer_seqs_leave_the_rest_as_it_is(store: VectorStore) -> None:
    """More sequences, with or without an outcome in the same write, change nothing else of a row."""
    store.write(C, writes_of(replace(FULL, outcome=None), row("e2", 4)))
    store.write(C, Writes(seqs={FULL.event.id: (1, 7), "e2": (2, 4)}, joined={FULL.event.id: FULL.outcome}))
    assert store.rows(C, [FULL.event.id])[FULL.event.id] == replace(FULL, seqs=(1, 7))
    assert store.rows(C, ["e2"])["e2"] == replace(row("e2", 4), seqs=(2, 4))


def test_writing_twice_is_writing_once(store: VectorStore) -> None:
    """The same writes applied again leave everything as it was."""
    writes = writes_of(FULL, row("e2", 4), row("e3", 5, record=decided("e3", 6)))
    store.write(C, writes)
    before = (store.rows(C, [FULL.event.id, "e2", "e3"]), store.outcomes(C, [FULL.event.id, "e3"]))
    store.write(C, writes)
    assert (store.rows(C, [FULL.event.id, "e2", "e3"]), store.outcomes(C, [FULL.event.id, "e3"])) == before
    assert store.count(C) == 3


def test_remove_takes_events_and_outcomes_each_by_their_own_ids(store: VectorStore) -> None:
    """Only the named events and the named outcomes go; ids that are not there are no error."""
    store.write(C, writes_of(*(row(f"e{n}", n, record=decided(f"e{n}", n + 10)) for n in (1, 2, 3))))
    store.remove(C, ["e1", "no"], ["e2", "neither"])
    assert sorted(store.rows(C, ["e1", "e2", "e3"])) == ["e2", "e3"]
    assert sorted(store.outcomes(C, ["e1", "e2", "e3"])) == ["e1", "e3"]
    store.remove(C, [], [])
    assert store.count(C) == 2


def test_remove_before_spares_what_is_not_older(store: VectorStore) -> None:
    """Events and outcomes below the sequence go, those at it or above stay, and only the events are counted."""
    store.write(C, writes_of(*(row(f"e{n}", n) for n in range(1, 7))))
    store.write(C, Writes(outcomes={"e1": decided("e1", 3), "e5": decided("e5", 4), "e6": decided("e6", 9)}))
    assert store.remove_before(C, 4) == 3
    assert [one.seq for one in store.window(C, 1, 9, None)] == [4, 5, 6]
    assert sorted(store.outcomes(C, ["e1", "e5", "e6"])) == ["e5", "e6"]


def test_a_window_is_sorted_and_takes_in_both_ends(store: VectorStore) -> None:
    """Rows come by sequence, whatever the order in which they were written."""
    store.write(C, writes_of(*(row(f"e{n}", n, severity=1 + n % 2) for n in (9, 2, 7, 4, 3))))
    assert [one.seq for one in store.window(C, 3, 7, None)] == [3, 4, 7]
    assert [one.seq for one in store.window(C, 3, 7, Where({"severity": {"$gte": 2}}))] == [3, 7]
    assert store.window(C, 5, 6, None) == []
    assert store.window(C, 7, 3, None) == []


def test_nearest_is_best_first_and_narrowed(store: VectorStore) -> None:
    """The best come first with their cosine; `where` leaves out whatever does not pass, by metadata and by text."""
    rows = [row(f"e{n}", n, severity=1 + n % 2, text="even number" if n % 2 == 0 else "odd one") for n in range(1, 9)]
    store.write(C, writes_of(*rows))
    found = store.nearest(C, unit(4), 3, None)
    assert found[0] == (rows[3], 1.0)
    cosines = sorted((round(float(unit(n) @ unit(4)), 6) for n in range(1, 9)), reverse=True)
    assert [similarity for _, similarity in found] == pytest.approx(cosines[:3], abs=2e-6)
    odd = store.nearest(C, unit(4), 9, Where({"severity": {"$gte": 2}}))
    assert sorted(one.seq for one, _ in odd) == [1, 3, 5, 7]
    assert sorted(one.seq for one, _ in store.nearest(C, unit(4), 9, Where(contains="even"))) == [2, 4, 6, 8]
    both = Where({"severity": {"$gte": 2}}, "even")
    assert store.nearest(C, unit(4), 9, both) == []


def test_an_event_with_more_attributes_than_a_row_lists_is_still_found_by_each(store: VectorStore) -> None:
    """What a filter on attributes asks the store for takes in such events; what it lets pass has the value."""
    many = row("many", 1, attributes={"ports": list(range(3_000)), "host": "db1"})
    few = row("few", 2, attributes={"ports": [2_999]})
    store.write(C, writes_of(many, few, row("none", 3)))
    for attributes, expected in [
        ({"ports": 2_999}, {"many", "few"}),
        ({"ports": [7, 8]}, {"many"}),
        ({"host": "db1", "ports": 0}, {"many"}),
        ({"ports": 3_000}, set()),
    ]:
        compiled = compile_filter(Filter.model_validate({"attributes": attributes}))
        assert compiled is not None
        found = [one for one, _ in store.nearest(C, unit(1), 9, compiled.where)]
        assert {one.event.id for one in found if compiled.matches(one)} == expected
        assert "none" not in {one.event.id for one in found}


def test_nearest_ids_agree_with_nearest(store: VectorStore) -> None:
    """The ids alone come in the order and with the similarities of the rows."""
    store.write(C, writes_of(*(row(f"e{n}", n, severity=1 + n % 3) for n in range(1, 31))))
    for where in (None, Where({"severity": {"$lte": 1}}), Where(contains="of e1")):
        rows = [(one.event.id, similarity) for one, similarity in store.nearest(C, unit(4), 12, where)]
        assert store.nearest_ids(C, unit(4), 12, where) == rows
        assert len(rows) >= 10


def test_vectors_come_beside_their_own_ids(store: VectorStore) -> None:
    """Every row that passes comes exactly once with its own vector, and no more of them than the limit."""
    store.write(C, writes_of(*(row(f"e{n}", n, severity=1 + n % 3) for n in range(1, 31))))
    for where, wanted in [(None, 30), (Where({"severity": {"$lte": 1}}), 10), (Where({"seq": {"$lt": 0}}), 0)]:
        ids, vectors = store.vectors(C, where, None)
        assert len(set(ids)) == len(ids) == len(vectors) == wanted
        for one, vector in zip(ids, vectors, strict=True):
            np.testing.assert_allclose(vector, unit(int(one[1:])), atol=1e-6)
    ids, vectors = store.vectors(C, None, 7)
    assert len(set(ids)) == len(vectors) == 7


def test_many_rows_cross_every_border_of_a_batch(store: VectorStore) -> None:
    """1,200 rows and outcomes in one write are all there: by id, counted, scanned, listed and removed."""
    rows = [row(f"e{n}", n, record=decided(f"e{n}", n)) for n in range(1, 1201)]
    store.write(C, writes_of(*rows))
    ids = [one.event.id for one in rows]
    assert store.count(C) == 1200
    assert store.rows(C, ids) == {one.event.id: one for one in rows}
    assert len(store.outcomes(C, ids)) == 1200
    assert set(store.vectors(C, None, None)[0]) == set(ids)
    assert [one.seq for one in store.window(C, 1, 2000, None)] == list(range(1, 1201))
    store.write(C, Writes(joined=dict.fromkeys(ids)))
    assert all(one.outcome is None for one in store.rows(C, ids).values())
    assert store.remove_before(C, 1101) == 1100
    assert store.outcomes(C, ids).keys() == {f"e{n}" for n in range(1101, 1201)}
    store.remove(C, ids, ids)
    assert (store.count(C), store.outcomes(C, ids)) == (0, {})


def test_identity_is_kept_through_a_restart(reopen: Callable[[], VectorStore]) -> None:
    """The identity reads back to the last digit, and a second one replaces the first wholly."""
    store = reopen()
    store.set_identity(IDENTITY)
    assert store.identity() == IDENTITY
    store.set_identity(replace(IDENTITY, watermark=0, uuid="b"))
    assert reopen().identity() == replace(IDENTITY, watermark=0, uuid="b")


def test_everything_survives_a_restart(reopen: Callable[[], VectorStore]) -> None:
    """After a restart the store finds, narrows and removes as before."""
    store = reopen()
    store.write(C, writes_of(FULL, row("e2", 4)))
    store = reopen()
    assert store.collections() == [C]
    assert store.exists(C)
    assert store.nearest(C, unit(7), 1, None) == [(FULL, 1.0)]
    assert store.outcomes(C, [FULL.event.id]) == {FULL.event.id: FULL.outcome}
    store.remove(C, [FULL.event.id], [FULL.event.id])
    store = reopen()
    assert store.rows(C, [FULL.event.id, "e2"]) == {"e2": row("e2", 4)}


def test_what_is_older_is_found_in_parts(store: VectorStore) -> None:
    """Rows by their own sequence, outcomes by theirs; no more of each than asked for."""
    rows = [row(f"e{seq}", seq) for seq in range(1, 11)]
    store.write(C, writes_of(*rows))
    store.write(C, Writes(outcomes={f"o{seq}": decided(f"o{seq}", seq) for seq in range(11, 21)}))
    found, decided_ids = store.older(C, 4, 100)
    assert ({one.event.id for one in found}, decided_ids) == ({"e1", "e2", "e3"}, [])
    found, decided_ids = store.older(C, 15, 2)
    assert (len(found), len(decided_ids)) == (2, 2)
    assert set(store.older(C, 13, 100)[1]) == {"o11", "o12"}
    assert store.older("nowhere", 100, 10) == ([], [])


def test_a_closed_store_fails_as_one_that_is_unavailable(store: VectorStore) -> None:
    """Whoever still asks it is told to ask again later; that is no symptom of the files."""
    store.write(C, writes_of(row()))
    store.close()
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            store.rows(C, ["e1"])
    assert not store.symptoms.last(1, 0.0)


def test_a_broken_segment_is_noticed_when_opened(tmp_path: Path) -> None:
    """A nearest-neighbour segment that cannot be read makes the whole index broken, at once and not in use."""
    store = ChromaStore.open(tmp_path)
    store.write(C, writes_of(*(row(f"e{number}", number + 1) for number in range(1100))))
    store.close()
    segments = list(tmp_path.glob("*/*.bin"))
    assert segments
    for segment in segments:
        segment.write_bytes(b"broken")
    with pytest.raises(IndexBroken, match="cannot be opened"):
        ChromaStore.open(tmp_path)


def test_revisions_make_no_event_unfindable(store: VectorStore) -> None:
    """After many ids were revised, each event is still found by its own vector, revised itself or not."""
    revision = [0] * 300

    def put(number: int, seq: int) -> None:
        revision[number] = seq
        one = replace(row(f"e{number}", seq), seqs=(1, seq) if seq > 1 else (1,))
        store.write(C, Writes(rows={one.event.id: (one, unit(1000 * number + seq))}))

    for number in range(300):
        put(number, 1)
    for seq in (2, 3, 4):
        for number in range(120):
            put(number, seq)
    assert store.count(C) == 300
    lost = [
        number
        for number, seq in enumerate(revision)
        if f"e{number}" not in {one for one, _ in store.nearest_ids(C, unit(1000 * number + seq), 10, None)}
    ]
    assert lost == []


def test_outcomes_are_found_by_their_sequence(store: VectorStore) -> None:
    """Of events that are there and of others; a collection without outcomes has none."""
    outcomes = {"e1": decided("e1", 8), "e2": decided("e2", 9), "nobody": decided("nobody", 11)}
    store.write(C, Writes(rows={"e1": (row("e1", 1), unit(1))}, outcomes=outcomes))
    assert store.decided_within(C, 8, 9) == {"e1": 8, "e2": 9}
    assert store.decided_within(C, 9, 20) == {"e2": 9, "nobody": 11}
    assert store.decided_within(C, 12, 20) == {}
    assert store.decided_within("elsewhere", 1, 20) == {}
