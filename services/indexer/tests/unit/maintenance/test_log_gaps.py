"""What leaves the middle of the log leaves the index: found by the count of messages, and only then looked for."""

from pathlib import Path

import pytest

from fakes.index_service import FakeIndexService
from precedent_indexer.errors import BusUnavailable
from precedent_indexer.maintenance import log_gaps
from precedent_indexer.maintenance.log_gaps import LogGaps
from precedent_indexer.maintenance.verify import Subject, Verifier
from precedent_schemas.events import Deletion

C = "incidents"


class Followed(FakeIndexService):
    """A service whose log loses messages, and whose index follows."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.now = 0.0
        self.asked = 0
        ask = self.log.gone

        async def counted() -> list[int]:
            self.asked += 1
            return await ask()

        self.log.gone = counted  # type: ignore[method-assign] # counts what is expensive

    async def start(self) -> None:
        """As a process that begins."""
        await super().start()
        self.gaps = LogGaps(self, self.progress, lambda: self.now)

    @property
    def subject(self) -> Subject:
        """The generation in use."""
        return Subject(
            store=self.index.store,
            source=self.log,
            applier=self.filler(self.index),
            refused=self.dead_letters,
            progress=self.progress,
            workers=self.workers,
            hold=self.held,
            save_watermark=self._save,
        )

    async def _save(self, _seq: int) -> None:
        """The watermark of this fake is saved by `follow`."""

    async def look(self) -> int:
        """Later; how many ids were mended."""
        self.now += 60.0
        return await self.gaps.follow(await self.log.state())

    async def wrong(self) -> int:
        """How many ids differ between the log and the index."""

        def silent(_phase: str, _done: int, _target: int) -> None:
            pass

        report = await Verifier(self.subject).verify(silent)
        return report.missing + report.orphaned + report.differing

    def ids(self) -> list[str]:
        """Those that the index has."""
        return sorted(self.index.store.rows(C, self.index.store.ids(C)))


@pytest.fixture
async def service(tmp_path: Path) -> Followed:
    """Twenty events; some revised, some decided about."""
    made = Followed(tmp_path)
    for number in range(20):
        made.log.publish_event({"id": f"e{number}", "text": f"event number {number}"})
    made.log.publish_event({"id": "e1", "text": "revised"})  # 21
    made.log.publish_outcome({"event_id": "e2", "verdict": "benign"})  # 22
    made.log.publish_outcome({"event_id": "e2", "verdict": "true_positive"})  # 23
    made.log.publish_outcome({"event_id": "absent", "verdict": "benign"})  # 24
    made.log.publish_event({"id": "last", "text": "the last one"})  # 25
    await made.start()
    await made.follow()
    return made


@pytest.mark.parametrize(
    "lost",
    [
        [6],
        [21],
        [2],
        [2, 21],
        [3],
        [23],
        [22, 23],
        [3, 22, 23],
        [24],
        [2, 4, 6, 8, 10, 12, 14, 16, 18, 20],
        list(range(2, 25)),
    ],
    ids=str,
)
async def test_the_index_is_what_the_log_still_says(service: Followed, lost: list[int]) -> None:
    """Events, revisions, outcomes, one or many: what is left is what a fresh index would hold."""
    assert await service.look() == 0
    for seq in lost:
        service.log.lose(seq)
    assert await service.look() >= (lost != [2])
    assert await service.wrong() == 0
    assert await service.look() == 0


async def test_an_older_revision_comes_back_where_only_the_later_one_left(service: Followed) -> None:
    """As a rebuild would have it; and a text that is gone has no vector any more."""
    service.log.lose(21)
    await service.look()
    assert service.index.store.rows(C, ["e1"])["e1"].event.text == "event number 1"
    assert list(service.index.vectors.find(C, ["revised", "event number 1"])) == ["event number 1"]


async def test_a_log_without_news_is_not_asked_for_its_gaps(service: Followed) -> None:
    """The count of messages alone says so: new messages are no gap, and a known gap no news."""
    service.log.lose(6)
    await service.look()
    for number in range(5):
        service.log.publish_event({"id": f"n{number}", "text": "new"})
        await service.follow()
        await service.look()
    assert service.asked == 1


async def test_what_left_while_nothing_ran_is_found_at_the_start(service: Followed) -> None:
    """A new process knows of no gap, and looks for all of them once."""
    service.log.lose(6)
    service.log.lose(9)
    await service.start()
    assert await service.look() == 2
    assert {"e5", "e8"}.isdisjoint(service.ids())


async def test_a_message_that_left_while_it_was_on_its_way_is_found_later(service: Followed) -> None:
    """It was taken before and stored after the look: the count does not change any more, and yet it goes."""
    service.log.publish_event({"id": "late", "text": "on its way"})
    service.log.publish_event({"id": "end", "text": "behind it"})
    on_their_way = [one async for one in service.log.read(26, 27)]
    service.log.lose(26)
    assert await service.look() == 0
    await service.filler(service.index).apply(on_their_way)
    service.progress.advance(27)
    assert await service.look() == 1
    assert "late" not in service.ids()


async def test_what_deletions_have_erased_is_no_news_for_the_index(service: Followed) -> None:
    """The gaps of deletions are found and nothing is mended for them."""
    service.log.delete(Deletion(ids=["e3", "e4"]))
    await service.follow()
    assert await service.look() == 0
    assert await service.wrong() == 0


async def test_looks_have_pauses(service: Followed) -> None:
    """Thousands of erasures in a row change the count all the time: the list of gaps is not asked for each time."""
    await service.look()
    for seq in (2, 4, 6):
        service.log.lose(seq)
        await service.gaps.follow(await service.log.state())
    assert service.asked == 0
    await service.look()
    assert service.asked == 1


async def test_a_fault_ends_the_look_and_the_next_one_does_it_all(
    service: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing counts as known before it is mended."""
    service.log.lose(6)
    monkeypatch.setattr(service.index.store, "remove", _fails)
    with pytest.raises(BusUnavailable):
        await service.look()
    monkeypatch.undo()
    assert await service.look() == 1
    assert await service.wrong() == 0


def _fails(*_args: object) -> None:
    raise BusUnavailable("fake: not now")


async def test_far_gaps_are_looked_for_apart(service: Followed, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read never goes over many messages that are still there, nor over many that are gone."""
    monkeypatch.setattr(log_gaps, "_STRETCH", 2)
    windows: list[tuple[int, int]] = []
    window = service.index.store.window

    def seen(collection: str, first: int, last: int, where: None) -> object:
        windows.append((first, last))
        return window(collection, first, last, where)

    monkeypatch.setattr(service.index.store, "window", seen)
    monkeypatch.setattr(log_gaps, "_MOST_LOST", 4)
    for seq in (2, 3, 5, 6, 7, 16, 17, 18):
        service.log.lose(seq)
    await service.look()
    assert list(dict.fromkeys(windows)) == [(2, 6), (7, 7), (16, 18)]
    assert await service.wrong() == 0
