"""The import run: against a log in memory, with interruptions and with others who write at the same time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precedent_indexer.cli.import_chroma.convert import Choices, OldItem
from precedent_indexer.cli.import_chroma.run import ALREADY, CLEARED, DELETED, Import, Report, Rules
from precedent_indexer.domain.messages import LogMessage
from precedent_indexer.errors import BusUnavailable, ImportFailed, JetStreamRefused, NotPermitted
from precedent_schemas.codec import decode_event, encode_log_message
from precedent_schemas.events import Deletion, EventBody

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IDS = [f"item-{number}" for number in range(6)]


class Items:
    """An old collection in memory."""

    def __init__(self, ids: Sequence[str] = IDS) -> None:
        self._ids = ids

    def ids(self) -> Sequence[str]:
        """In the order in which they were added."""
        return self._ids

    def items(self, ids: Sequence[str]) -> list[OldItem]:
        """Each with a text of its own."""
        return [OldItem(one, f"the old text of {one}", {"severity": 2}) for one in ids]


class MemoryLog:
    """A log with one collection, that others write into as well."""

    def __init__(self) -> None:
        self.messages: dict[int, LogMessage] = {}
        self.last = 0
        self.index: dict[str, int] | None = None
        self.before_append: Callable[[int], Awaitable[None]] | None = None
        self.appends = 0

    def add(self, subject: str, data: bytes) -> int:
        """Store a message; its sequence."""
        self.last += 1
        self.messages[self.last] = LogMessage(self.last, subject, data, {}, NOW)
        return self.last

    def publish(self, event_id: str, text: str) -> int:
        """An event that somebody else publishes; its sequence."""
        body = EventBody(id=event_id, text=text)
        return self.add("security.events.v1.incidents.auth", encode_log_message(body))

    def delete(self, *ids: str) -> None:
        """As the indexer does: the deletion is in the log, the events are erased from it."""
        deletion = Deletion(ids=list(ids)) if ids else Deletion(all=True)
        gone = [seq for seq, one in self.events().items() if not ids or one.id in ids]
        self.add("security.deletions.v1.incidents", encode_log_message(deletion))
        for seq in gone:
            del self.messages[seq]

    def events(self) -> dict[int, EventBody]:
        """What is in the log, by sequence."""
        found = {seq: one for seq, one in self.messages.items() if one.subject.startswith("security.events.")}
        return {seq: decode_event(one.data) for seq, one in found.items()}

    def memory(self) -> dict[str, str]:
        """What an index of this log shows: the text of the latest revision by id."""
        return {str(one.id): one.text for _, one in sorted(self.events().items())}

    async def end(self) -> tuple[int, bool]:
        """Its end, and whether nothing was taken from it."""
        return self.last, len(self.messages) == self.last

    async def since(self, seq: int) -> AsyncIterator[LogMessage]:
        """What came after `seq`."""
        for one in [message for number, message in self.messages.items() if number > seq]:
            yield one

    async def append(self, kind: str, event_id: str, data: bytes, after: int) -> int | None:
        """Store it where the log ends at `after`."""
        self.appends += 1
        if self.before_append is not None:
            await self.before_append(self.appends)
        return self.add(f"security.events.v1.incidents.{kind}", data) if after == self.last else None

    async def in_index(self, ids: Sequence[str]) -> dict[str, int]:
        """What the index shows; it may be down."""
        if self.index is None:
            raise BusUnavailable("nobody answers")
        return {one: self.index[one] for one in ids if one in self.index}


async def imported(log: MemoryLog, rules: Rules | None = None, items: Items | None = None) -> Report:
    """One run to its end."""
    run = Import(items or Items(), log, Choices(), rules or Rules(), retry_s=0)
    return await run.run(lambda _report: None)


async def test_everything_is_published_once_in_order() -> None:
    """A first run publishes every item, in the order in which they were added."""
    log = MemoryLog()
    report = await imported(log)
    assert [one.id for one in log.events().values()] == IDS
    assert (report.total, report.published, report.skipped.total()) == (6, 6, 0)


async def test_a_second_run_publishes_nothing() -> None:
    """What the log has stays as it is, and the report says so."""
    log = MemoryLog()
    await imported(log)
    report = await imported(log)
    assert log.last == 6
    assert report.published == 0
    assert report.skipped == {ALREADY: 6}


async def test_an_id_that_stands_twice_is_published_once() -> None:
    """Within one run, too, nothing is published that the log already has."""
    log = MemoryLog()
    report = await imported(log, items=Items(["a", "b", "a"]))
    assert log.last == 2
    assert report.skipped == {ALREADY: 1}


@given(stop_after=st.integers(min_value=1, max_value=6), stored=st.booleans())
async def test_an_interrupted_run_is_gone_on_with(stop_after: int, stored: bool) -> None:
    """Wherever the run dies, and whether or not its last publish arrived, the next one publishes exactly the rest."""
    log = MemoryLog()

    async def die(appends: int) -> None:
        if appends == stop_after:
            if stored:
                log.publish(IDS[appends - 1], f"the old text of {IDS[appends - 1]}")
            raise KeyboardInterrupt

    log.before_append = die
    with pytest.raises(KeyboardInterrupt):
        await imported(log)
    log.before_append = None
    report = await imported(log)
    assert [one.id for one in log.events().values()] == IDS
    assert report.published == len(IDS) - stop_after + (not stored)


async def test_a_run_that_is_told_to_stop_stops_even_where_an_answer_swallows_it() -> None:
    """A cancellation that the client library loses is noticed after the item in hand."""
    log = MemoryLog()
    run = Import(Items(), log, Choices(), Rules(), retry_s=0)
    task = asyncio.ensure_future(run.run(lambda _report: None))

    async def swallow(appends: int) -> None:
        if appends == 2:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)

    log.before_append = swallow
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.last == 2


async def test_a_newer_revision_is_never_taken_back() -> None:
    """Neither one that was there before the first run nor one that came between two runs."""
    log = MemoryLog()
    log.publish("item-1", "newer")
    await imported(log)
    log.publish("item-2", "newer, too")
    await imported(log)
    memory = log.memory()
    assert (memory["item-1"], memory["item-2"]) == ("newer", "newer, too")
    assert log.last == 7


async def test_a_revision_that_comes_between_look_and_publish_stays() -> None:
    """Somebody publishes the same id at the very last moment: the log refuses the import's, and theirs stays."""
    log = MemoryLog()

    async def intrude(appends: int) -> None:
        if appends == 3:
            log.publish("item-2", "newer")

    log.before_append = intrude
    report = await imported(log)
    assert log.memory()["item-2"] == "newer"
    assert report.skipped == {ALREADY: 1}
    assert report.published == 5


async def test_a_deletion_that_comes_between_look_and_publish_holds() -> None:
    """The same for a deletion of an id that was not even imported yet."""
    log = MemoryLog()

    async def intrude(appends: int) -> None:
        if appends == 3:
            log.delete("item-2")

    log.before_append = intrude
    report = await imported(log)
    assert "item-2" not in log.memory()
    assert report.skipped == {DELETED: 1}


async def test_others_who_publish_all_the_time_only_slow_it_down() -> None:
    """Unrelated messages before each publish cost a second look each, and change nothing."""
    log = MemoryLog()

    async def intrude(appends: int) -> None:
        if appends % 2:
            log.publish(f"live-{appends}", "live")

    log.before_append = intrude
    assert (await imported(log)).published == 6
    assert [one for one in log.memory() if one.startswith("item")] == IDS


async def test_a_log_that_is_never_quiet_is_given_up() -> None:
    """The message says what was reached and what to do."""
    log = MemoryLog()

    async def intrude(_appends: int) -> None:
        log.publish("live", "live")

    log.before_append = intrude
    with pytest.raises(ImportFailed, match="too busy; 0 are published; run this again"):
        await imported(log)


async def test_what_was_deleted_does_not_come_back() -> None:
    """A deletion is in the log for good: later runs skip the item and say why, unless they are told otherwise."""
    log = MemoryLog()
    log.index = {}
    await imported(log)
    log.delete("item-3", "somebody-elses")
    report = await imported(log)
    assert report.skipped == {ALREADY: 5, DELETED: 1}
    assert "item-3" not in log.memory()
    assert (await imported(log, Rules(include_deleted=True))).published == 1
    assert (await imported(log)).skipped == {ALREADY: 6}


async def test_what_was_deleted_and_published_anew_is_there() -> None:
    """A deletion only counts against what came before it."""
    log = MemoryLog()
    log.index = {}
    log.delete("item-3")
    log.publish("item-3", "newer")
    report = await imported(log)
    assert report.skipped == {ALREADY: 1}
    assert log.memory()["item-3"] == "newer"


async def test_a_cleared_collection_stays_cleared() -> None:
    """Nobody knows any more what a cleared collection held: nothing is imported unless the operator says so."""
    log = MemoryLog()
    log.index = {}
    await imported(log)
    log.delete("item-1")
    log.delete()
    log.publish("item-0", "newer")
    assert (await imported(log)).skipped == {CLEARED: 4, DELETED: 1, ALREADY: 1}
    report = await imported(log, Rules(include_cleared=True))
    assert report.published == 4
    assert "item-1" not in log.memory()
    assert log.memory()["item-0"] == "newer"


async def test_the_index_is_asked_where_the_log_has_forgotten() -> None:
    """An event that retention took from the log is still shown by the index: it is not published again."""
    log = MemoryLog()
    log.publish("item-4", "newer")
    del log.messages[1]
    log.index = {"item-4": 1}
    report = await imported(log)
    assert report.skipped == {ALREADY: 1}
    assert "item-4" not in log.memory()


async def test_without_the_index_a_log_that_has_forgotten_is_not_trusted() -> None:
    """It could take back a newer revision, so it says what is needed and publishes nothing."""
    log = MemoryLog()
    log.publish("item-4", "newer")
    del log.messages[1]
    with pytest.raises(ImportFailed, match="start the indexer and run this again"):
        await imported(log)
    assert log.messages == {}


async def test_a_publish_without_an_answer_is_looked_up_before_it_is_tried_again() -> None:
    """Stored or not: in the end it is in the log exactly once."""
    log = MemoryLog()

    async def lose(appends: int) -> None:
        if appends == 2:
            log.publish("item-1", "the old text of item-1")
            raise BusUnavailable("no answer, but stored")
        if appends == 4:
            raise BusUnavailable("no answer, not stored")

    log.before_append = lose
    await imported(log)
    assert [one.id for one in log.events().values()] == IDS


async def test_a_full_log_ends_the_run_with_its_reason() -> None:
    """What was published stays, and the message says how to go on."""
    log = MemoryLog()

    async def refuse(appends: int) -> None:
        if appends == 3:
            raise JetStreamRefused("security.events.v1.incidents.imported", 503, 10077, "maximum bytes exceeded")

    log.before_append = refuse
    with pytest.raises(ImportFailed, match=r"item-2: .*maximum bytes exceeded.*; 2 are published; run this again"):
        await imported(log)
    assert log.last == 2


async def test_a_log_that_never_answers_ends_the_run() -> None:
    """The retries are bounded, and the reason is in the message."""

    class Silent(MemoryLog):
        async def end(self) -> tuple[int, bool]:
            """No answer."""
            raise BusUnavailable("no answer on STREAM.INFO")

    with pytest.raises(ImportFailed, match=r"the log cannot be read: no answer on STREAM\.INFO"):
        await imported(Silent())


async def test_who_may_not_is_told_at_once() -> None:
    """A denial is no outage: nothing is tried again, and the run ends with the denial."""
    reading = 0

    class Closed(MemoryLog):
        async def end(self) -> tuple[int, bool]:
            """Denied."""
            nonlocal reading
            reading += 1
            raise NotPermitted("may not publish on STREAM.INFO")

    with pytest.raises(NotPermitted, match=r"STREAM\.INFO"):
        await imported(Closed())
    assert reading == 1
    log = MemoryLog()

    async def deny(_appends: int) -> None:
        raise NotPermitted("may not publish on security.events.v1.incidents.imported")

    log.before_append = deny
    with pytest.raises(NotPermitted, match=r"incidents\.imported"):
        await imported(log)
    assert log.appends == 1


async def test_a_dry_run_publishes_nothing_and_says_the_same() -> None:
    """Its counts are those of the run that follows, and it shows three events."""
    log = MemoryLog()
    log.publish("item-1", "newer")
    dry = await imported(log, Rules(dry_run=True))
    assert log.last == 1
    real = await imported(log)
    assert (dry.published, dry.skipped, dry.changed) == (real.published, real.skipped, real.changed)
    assert [one.id for one in dry.samples] == ["item-0", "item-2", "item-3"]
    assert real.samples == []
