"""A rebuild: complete, switched to in one step, resumed where it was, and without a trace where it fails."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from fakes.chaos import Doom
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder
from fakes.index_service import FakeIndexService
from fakes.log_model import replayed
from fakes.vector_store import FakeVectorStore
from precedent_indexer.domain.index_state import Vectors
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.errors import BusUnavailable, JobFailed, ModelUnavailable, StoreUnavailable
from precedent_indexer.index.layout import CRASH_JOURNAL
from precedent_indexer.index.log_match import with_watermark
from precedent_indexer.ingest.crash_journal import CrashJournal
from precedent_indexer.ingest.suspects import ENDED_TWICE
from precedent_indexer.maintenance import rebuild as rebuilding
from precedent_schemas.events import Deletion
from precedent_schemas.failures import DeadReason

C = "incidents"


class Counting(FakeEmbedder):
    """Counts what it is given."""

    def __init__(self, fingerprint: str = "fake") -> None:
        super().__init__(fingerprint)
        self.given: list[str] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Embed."""
        self.given += texts
        return super().embed(texts)


class Reports:
    """What a job says of its progress; something may be done in a phase."""

    def __init__(self) -> None:
        self.said: list[tuple[str, int, int]] = []

    def __call__(self, phase: str, done: int, target: int) -> None:
        """Remember it."""
        self.said.append((phase, done, target))

    @property
    def phases(self) -> list[str]:
        """In their order, each once."""
        return list(dict.fromkeys(phase for phase, _, _ in self.said))


@pytest.fixture
async def service(tmp_path: Path) -> FakeIndexService:
    """An index of a hundred events, an outcome, a revision, a deletion and something that was refused."""
    made = FakeIndexService(tmp_path, Counting())
    for number in range(100):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number % 30}"})
    made.log.publish_outcome({"event_id": "e7", "verdict": "benign"})
    made.log.publish_outcome({"event_id": "later", "verdict": "benign"})
    made.log.publish_event({"id": "e8", "text": "revised"})
    made.log.publish("security.events.v1.incidents.auth", b"{")
    made.log.publish_event({"id": "x", "text": "elsewhere"}, collection="elsewhere")
    await made.start()
    await made.follow()
    made.log.delete(Deletion(ids=["e9"]))
    await made.follow()
    return made


def store_of(service: FakeIndexService) -> FakeVectorStore:
    """The store in use."""
    store = service.index.store
    assert isinstance(store, FakeVectorStore)
    return store


def check(service: FakeIndexService) -> None:
    """The index in use holds what the log says, up to its watermark, which is the service's."""
    identity = service.index.store.identity()
    assert identity is not None
    assert identity.watermark == service.progress.indexed_seq
    for collection, wanted in replayed(service.log.history, identity.watermark).items():
        rows, outcomes = store_of(service).contents(collection)
        assert {one: (row.event, row.seq) for one, row in rows.items()} == {
            one: (row.event, row.seq) for one, row in wanted.rows.items()
        }
        assert outcomes == wanted.outcomes


async def test_the_new_generation_is_the_same_again(service: FakeIndexService) -> None:
    """Same contents, same name, nothing refused twice, and embedded only what was deleted; the old one is gone."""
    old = service.index
    embedder = service.embedder
    assert isinstance(embedder, Counting)
    embedder.given.clear()
    puts = service.dead_letters.puts.copy()
    reports = Reports()
    report = await service.rebuilder().run("for a test", reports)
    assert service.index.path != old.path
    assert service.index.identity.uuid == old.identity.uuid
    check(service)
    # Events with the text of the deleted one are still there; its vector was forgotten with it.
    assert embedder.given == ["event number 9"]
    assert service.dead_letters.puts == puts
    assert (report.events, report.reason, report.overlap_at_10) == (100, "for a test", 1.0)
    assert report.vectors_reused
    assert reports.phases == ["filling", "comparing", "switching"]
    assert reports.said[-1] != reports.said[0]
    assert store_of(service).closed is False
    assert service.disk.stores[old.path].closed
    assert [path.name for path in service.disk.directory.all()] == [service.index.path.name]
    assert service.events == ["held", f"took over {service.index.path.name}"]
    assert service.disk.directory.current() == service.index.path


async def test_what_is_published_meanwhile_is_there_at_the_switch(service: FakeIndexService) -> None:
    """The head of the log moves on while the generation is filled: it holds exactly what the old one held."""
    rebuilder = service.rebuilder()
    running = asyncio.create_task(rebuilder.run("for a test", Reports()))
    for number in range(100, 140):
        service.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
        if "held" not in service.events:
            await service.follow()
        await asyncio.sleep(0)
    await running
    check(service)
    await service.follow()
    check(service)


async def test_the_old_generation_is_kept_for_its_last_question(service: FakeIndexService) -> None:
    """Its files stay until the question that was in hand at the switch has its answer."""
    old = service.index
    service.questions.clear()
    running = asyncio.create_task(service.rebuilder().run("for a test", Reports()))
    while len(service.events) < 2:  # noqa: ASYNC110 -- nothing tells of it
        await asyncio.sleep(0)
    assert service.index.path != old.path
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    assert old.path.exists()
    assert not service.disk.stores[old.path].closed
    service.questions.set()
    await running
    assert not old.path.exists()


async def half_way(service: FakeIndexService) -> Path:
    """Interrupt a rebuild in its middle; where it has left off."""
    running: asyncio.Task[object]

    def interrupt(_phase: str, done: int, _target: int) -> None:
        if done > 40:
            running.cancel()

    running = asyncio.create_task(service.rebuilder().run("for a test", interrupt))
    await asyncio.wait({running})
    assert running.cancelled()
    left = [path for path in service.disk.directory.all() if path != service.index.path]
    assert len(left) == 1
    return left[0]


async def test_an_interrupted_rebuild_is_resumed(service: FakeIndexService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start says that there is one, and the next rebuild goes on where it was."""
    monkeypatch.setattr(rebuilding, "_SAVE_EVERY_S", 0.0)
    left = await half_way(service)
    old = service.index.path
    await service.start()
    assert service.index.path == old
    assert service.index.outdated == "a rebuild was interrupted: it is resumed"
    reports = Reports()
    await service.rebuilder().run("for a test", reports)
    assert service.index.path == left
    assert reports.said[0][1] > 0
    check(service)
    await service.start()
    assert (service.index.path, service.index.outdated) == (left, None)


@pytest.mark.parametrize("how", ["unsound", "broken", "another log", "another model", "no note"])
async def test_what_cannot_be_resumed_is_started_over(service: FakeIndexService, how: str) -> None:
    """Half-filled files that are broken, or not of this index, are removed, and the rebuild begins at the beginning."""
    left = await half_way(service)
    note = left / "unfinished.json"
    if how == "unsound":
        service.disk.unsound.add(left)
    elif how == "broken":
        service.disk.broken.add(left)
    elif how == "no note":
        note.unlink()
    else:
        key = {"another log": "stream_created", "another model": "fingerprint"}[how]
        note.write_text(json.dumps(json.loads(note.read_text()) | {key: "other"}))
    reports = Reports()
    await service.start()
    await service.rebuilder().run("for a test", reports)
    assert reports.said[0][1] == 0
    check(service)
    assert not left.exists() or how == "no note" or service.index.path == left
    assert len(service.disk.directory.all()) == 1


@pytest.mark.parametrize("after", [3, 10, 40])
async def test_a_rebuild_that_fails_leaves_nothing_behind(service: FakeIndexService, after: int) -> None:
    """A full disk, say: the old generation goes on as if nothing had been, and the next rebuild succeeds."""
    old = service.index

    def strike(phase: str, _done: int, _target: int) -> None:
        if phase == "filling" and not service.disk.chaos.struck:
            # One step and its three repetitions, whatever they are.
            service.disk.chaos.plan = {service.disk.chaos.steps + after + more: Doom.FAULT for more in range(200)}

    with pytest.raises((StoreUnavailable, JobFailed)):
        await service.rebuilder().run("for a test", strike)
    service.disk.chaos.plan.clear()
    assert service.index is old
    assert service.disk.directory.all() == [old.path]
    check(service)
    await service.follow()
    await service.rebuilder().run("for a test", Reports())
    check(service)


async def test_the_bus_may_go_away_meanwhile(service: FakeIndexService, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild of hours is not lost to a restart of the server: it waits and goes on."""
    monkeypatch.setattr(rebuilding, "_FIRST_BACKOFF_S", 0.0)
    failures = iter([True, False, False, True, False])
    read = service.log.read

    def flaky(first: int, last: int) -> object:
        if next(failures, False):
            raise BusUnavailable("fake")
        return read(first, last)

    monkeypatch.setattr(service.log, "read", flaky)
    await service.rebuilder().run("for a test", Reports())
    check(service)


async def test_another_model_embeds_everything_anew(tmp_path: Path) -> None:
    """No vector of the old model is taken over; the generation says which model it is of."""
    old = FakeIndexService(tmp_path)
    for number in range(10):
        old.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    await old.start()
    await old.follow()
    old.disk.directory.close()
    new = FakeIndexService(tmp_path, Counting("another"))
    new.log, new.disk.stores = old.log, old.disk.stores
    await new.start()
    assert new.index.identity.fingerprint == "fake"
    assert new.index.outdated is not None
    report = await new.rebuilder().run(new.index.outdated, Reports())
    assert isinstance(new.embedder, Counting)
    assert sorted(new.embedder.given) == sorted(f"event number {number}" for number in range(10))
    assert (report.vectors_reused, new.index.identity.fingerprint) == (0, "another")
    check(new)


class Slow(FakeDeadLetters):
    """Knows what was refused when it was asked to look last, as the stream does."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: Mapping[int, Refusal] = {}

    async def refresh(self) -> None:
        """Look."""
        self._noted = super().refusals()

    def refusals(self) -> Mapping[int, Refusal]:
        """What it knows."""
        return self._noted


async def test_what_is_a_dead_letter_stays_out(service: FakeIndexService) -> None:
    """Refused for whatever reason it was, and a moment ago, it is not indexed now as well."""
    service.dead_letters = Slow()
    seq = service.log.publish_event({"id": "poison", "text": "fine by its looks"})
    await service.dead_letters.put(service.log.messages[seq], Refusal(DeadReason.UNPROCESSABLE, ENDED_TWICE))
    service.progress.advance(seq)
    service.index.store.set_identity(with_watermark(service.index.identity, seq))
    await service.rebuilder().run("for a test", Reports())
    assert store_of(service).rows(C, ["poison"]) == {}


async def test_what_the_log_gave_up_meanwhile_is_not_carried_over(
    service: FakeIndexService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that vanish while the generation is filled leave it before it is used."""
    rebuilder = service.rebuilder()

    def give_up(phase: str, _done: int, _target: int) -> None:
        if phase == "comparing":
            for seq in range(1, 51):
                service.log.messages.pop(seq, None)

    await rebuilder.run("for a test", give_up)
    assert min(row.seq for row in store_of(service).contents(C)[0].values()) == 51


async def test_an_empty_collection_stays(service: FakeIndexService) -> None:
    """A collection in which nothing is left exists in the new generation too."""
    service.log.delete(Deletion(all=True), collection="elsewhere")
    await service.follow()
    await service.rebuilder().run("for a test", Reports())
    assert store_of(service).exists("elsewhere")
    assert store_of(service).count("elsewhere") == 0


class Suspicious(CrashJournal):
    """Notes who is named alone, and whether anything else could be in hand meanwhile."""

    service: FakeIndexService
    named: list[tuple[int, bool]]

    def take_alone(self, seq: int) -> None:
        """Write it down."""
        self.named.append((seq, self.service.is_held))
        super().take_alone(seq)


@pytest.fixture
def named(service: FakeIndexService, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """Whom a rebuild names alone, each with whether the write corridor was held."""
    note = type("Note", (Suspicious,), {"service": service, "named": []})
    monkeypatch.setattr(rebuilding, "CrashJournal", note)
    found: list[tuple[int, bool]] = note.named  # type: ignore[attr-defined]
    return found


async def test_what_was_in_hand_at_an_end_is_handled_alone(
    service: FakeIndexService, named: list[tuple[int, bool]]
) -> None:
    """Nothing else is in hand meanwhile: if the process ends again, nobody else is blamed for it."""
    left = await half_way(service)
    CrashJournal(left / CRASH_JOURNAL).take(97, 99)
    await service.start()
    await service.rebuilder().run("for a test", Reports())
    assert {97, 98, 99} <= {seq for seq, _ in named}
    assert all(held for _, held in named)
    check(service)


async def test_what_ends_the_process_of_a_rebuild_is_refused(service: FakeIndexService) -> None:
    """Named alone at two ends it is a dead letter, also where the index in use has it: its neighbours are there."""
    left = await half_way(service)
    note = CrashJournal(left / CRASH_JOURNAL)
    note.take(97, 99)
    for _ in range(2):
        note = CrashJournal(left / CRASH_JOURNAL)
        note.take_alone(98)
    await service.start()
    await service.rebuilder().run("for a test", Reports())
    assert {seq: refusal.detail for seq, refusal in service.dead_letters.refusals().items() if seq == 98} == {
        98: ENDED_TWICE
    }
    assert service.progress.refusal(98) is not None
    seqs = {row.seq for row in store_of(service).contents(C)[0].values()}
    assert {97, 99} <= seqs
    assert 98 not in seqs


async def test_what_is_suspected_at_the_switch_needs_no_second_hold(
    service: FakeIndexService, named: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The corridor is held already: the rest is handled alone in it, and the switch comes."""
    monkeypatch.setattr(Suspicious, "suspect", lambda _self, seq: seq)
    more: list[int] = []

    def publish(phase: str, _done: int, _target: int) -> None:
        if phase == "comparing" and not more:
            more.append(service.log.publish_event({"id": "late", "text": "event number 3"}))
            service.progress.advance(more[0])

    await service.rebuilder().run("for a test", publish)
    assert named[-1] == (more[0], True)
    assert store_of(service).rows(C, ["late"])


async def test_a_model_that_ends_the_process_blames_nobody(
    service: FakeIndexService, named: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anybody is named, model and store must show that they work; where they do not, it is their fault."""
    left = await half_way(service)
    CrashJournal(left / CRASH_JOURNAL).take(97, 99)
    await service.start()

    def fail(_self: object, _texts: Sequence[str]) -> Vectors:
        raise RuntimeError("fake: down")

    monkeypatch.setattr(Counting, "embed", fail)
    with pytest.raises(ModelUnavailable):
        await service.rebuilder().run("for a test", Reports())
    assert named == []
    assert 98 not in service.dead_letters.refusals()
