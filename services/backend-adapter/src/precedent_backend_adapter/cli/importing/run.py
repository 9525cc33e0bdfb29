"""Events of a file into the log, each line once, however often and whenever the import is run.

A line that the journal calls stored is left out. Where a run ended between sending and noting, the index is asked
what the log has of it, once it has caught up: an answer that does not depend on how long ago that was.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from precedent_backend_adapter._publishing.reports import PublishReport
from precedent_backend_adapter.cli.importing.journal import Journal
from precedent_backend_adapter.cli.importing.lines import Line
from precedent_backend_adapter.errors import (
    NotDelivered,
    NotDeliveredReason,
    NotPermitted,
    PrecedentError,
    Refused,
    TooLarge,
)
from precedent_backend_adapter.interface import PrecedentClient
from precedent_schemas import Entry, SecurityEvent

BATCH = 500
"""Lines between two notes in the journal."""
_LOOK_S = 0.5
_OF_THE_LINE = (NotDeliveredReason.TOO_LARGE, NotDeliveredReason.REJECTED)


@dataclass(frozen=True, slots=True)
class RefusedLine:
    """A line that is not in the log, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class ImportReport:
    """What became of the lines so far; empty ones do not count.

    Attributes:
        published: put into the log by this run.
        already: in the log from an earlier run.
        refused: neither.
        renamed: of those published, how many had an id that the log had given, and have a new one now.
        undecided: of those published, how many had an outcome, which was not published.
    """

    published: int = 0
    already: int = 0
    refused: list[RefusedLine] = field(default_factory=list)
    renamed: int = 0
    undecided: int = 0


class Interrupted(Exception):
    """The rest cannot be sent now; what the report says is done stays done.

    Attributes:
        why: what stands against every line.
    """

    def __init__(self, why: PrecedentError) -> None:
        self.why = why
        super().__init__(str(why))


class Import:
    """One run.

    Args:
        client: where to publish.
        journal: what earlier runs did.
        tell: called after each batch with the bytes of the file that are behind it.
    """

    def __init__(self, client: PrecedentClient, journal: Journal, tell: Callable[[int], None]) -> None:
        self.report = ImportReport()
        self._client = client
        self._journal = journal
        self._tell = tell
        self._last_seq = 0

    async def run(self, lines: Iterable[Line]) -> None:
        """Publish what is not in the log yet.

        Raises:
            Interrupted: the log takes no more.
            PrecedentError: the index does not answer.
        """
        await self._begin()
        for batch in _batches(lines):
            await self._batch(batch)
            self._tell(batch[-1].end)

    async def _begin(self) -> None:
        stats = await self._client.stats()
        self._last_seq = target = stats.stream.last_seq
        while self._journal.in_doubt and stats.indexed_seq < target:
            await asyncio.sleep(_LOOK_S)
            stats = await self._client.stats()

    async def _batch(self, batch: list[Line]) -> None:
        new: list[tuple[Line, SecurityEvent]] = []
        for line in batch:
            if line.event is None:
                self.report.refused.append(RefusedLine(line.number, line.problem))
            elif line.key in self._journal.stored:
                self.report.already += 1
            else:
                new.append((line, line.event))
        found = await self._arrived(new)
        if found:
            self._journal.has(found)
            self.report.already += len(found)
        rest = [(line, event) for line, event in new if line.key not in found]
        if rest:
            await self._publish(rest)

    async def _arrived(self, new: list[tuple[Line, SecurityEvent]]) -> set[str]:
        """Keys of those that an earlier run has sent without noting that the log has them."""
        doubted = [(line.key, event) for line, event in new if line.key in self._journal.in_doubt]
        found: set[str] = set()
        for collection in {event.collection for _, event in doubted}:
            by_id = {event.id or "": key for key, event in doubted if event.collection == collection}
            # An older revision under this id says nothing; a newer one, whoever sent it, must not be taken back.
            found |= {
                by_id[entry.event.id]
                for entry in await self._events(list(by_id), collection)
                if entry.seq > self._journal.in_doubt[by_id[entry.event.id]]
            }
        return found

    async def _events(self, ids: list[str], collection: str) -> list[Entry]:
        try:
            return (await self._client.get(ids, collection=collection)).events
        except TooLarge:
            if len(ids) == 1:
                raise
            middle = len(ids) // 2
            return await self._events(ids[:middle], collection) + await self._events(ids[middle:], collection)

    async def _publish(self, rest: list[tuple[Line, SecurityEvent]]) -> None:
        self._journal.sending((line.key for line, _ in rest), self._last_seq)
        report = await self._client.publish_many(event for _, event in rest)
        self._journal.has(rest[position][0].key for position in sorted(report.receipts))
        self.report.published += len(report.receipts)
        self.report.renamed += sum(rest[position][0].renamed for position in report.receipts)
        self.report.undecided += sum(rest[position][0].decided for position in report.receipts)
        self._last_seq = max(self._last_seq, report.last_seq or 0)
        stopped = self._sorted_out(rest, report)
        if stopped is not None:
            raise Interrupted(stopped) from stopped

    def _sorted_out(self, rest: list[tuple[Line, SecurityEvent]], report: PublishReport) -> PrecedentError | None:
        """Count what is wrong with a line itself; the first failure that would be every line's, if any."""
        stopped: PrecedentError | None = None
        for position, failure in sorted(report.failures.items()):
            if _is_of_the_line(failure):
                self.report.refused.append(RefusedLine(rest[position][0].number, str(failure)))
            else:
                stopped = stopped or failure
        return stopped


def _is_of_the_line(failure: PrecedentError) -> bool:
    if isinstance(failure, NotDelivered):
        return failure.reason in _OF_THE_LINE
    return isinstance(failure, Refused) and not isinstance(failure, NotPermitted)


def _batches(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Lines in groups in which no id comes twice: of one that does, nobody could tell which revision has arrived."""
    batch: list[Line] = []
    ids: set[tuple[str, str | None]] = set()
    for line in lines:
        key = (line.event.collection, line.event.id) if line.event else None
        if len(batch) == BATCH or key in ids:
            yield batch
            batch, ids = [], set()
        batch.append(line)
        if key is not None:
            ids.add(key)
    if batch:
        yield batch
