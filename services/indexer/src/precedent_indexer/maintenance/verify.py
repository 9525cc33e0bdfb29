"""The log against the index, both ways: what is missing, orphaned or different, and how it is mended.

The log is folded into what the index must hold, then every id of both is compared. Meanwhile the index moves on:
so whatever looks wrong is looked at once more, some ids at a time, while nothing is taken from the log. Only what is
wrong then is reported, and repaired at once: removed, and applied again from the log.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

import structlog

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.ports import Log, VectorStore
from precedent_indexer.domain.row_digest import StoredDigests
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.maintenance.expected_index import MISSING, ORPHANED, ExpectedIndex
from precedent_indexer.runtime.jobs import ReportProgress
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.jobs import Difference, JobReport
from precedent_schemas.limits import MAX_JOB_EXAMPLES

log = structlog.get_logger(__name__)
T = TypeVar("T")

_READ_MESSAGES: Final = 256
_LOOK_AT: Final = 256
"""Ids of one look: some tens of milliseconds of a reader's time."""
_MEND: Final = 64
"""Ids that are looked at again, and mended, in one go: the log waits for so long, and so does a soft stop."""
_REBUILD_SHARE: Final = 10
"""More than one in so many wrong: a rebuild is the quicker way, and the index is not to be trusted anyway."""

Suspect = tuple[str, str]
"""Collection and id."""


class Refusals(Protocol):
    """What became a dead letter."""

    async def refresh(self) -> None:
        """Take note of what is new."""

    def refusals(self) -> Mapping[int, Refusal]:
        """Why each original was refused, by its sequence."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The index that is compared, and how ingest is paused meanwhile.

    Attributes:
        hold: nothing is taken from the log, nor committed, inside.
        save_watermark: keep with the index that everything up to a sequence is applied.
    """

    store: VectorStore
    source: Log
    applier: Applier
    refused: Refusals
    progress: Progress
    workers: Workers
    hold: Callable[[], AbstractAsyncContextManager[None]]
    save_watermark: Callable[[int], Awaitable[None]]


@dataclass(slots=True)
class _Tally:
    """What was found."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)
    repaired: int = 0

    def add(self, suspect: Suspect, what: str) -> None:
        sort = what if what in {MISSING, ORPHANED} else "differing"
        self.counts[sort] += 1
        if self.counts[sort] <= MAX_JOB_EXAMPLES:
            self.examples.append(Difference(collection=suspect[0], id=suspect[1], what=what))


class Verifier:
    """One comparison; each job makes its own."""

    def __init__(self, subject: Subject) -> None:
        self._of = subject
        self._expected = ExpectedIndex()
        self._read_up_to = 0

    async def verify(self, report: ReportProgress) -> JobReport:
        """What differs.

        Raises:
            Fault: the log or the store cannot be read just now.
        """
        return await self._run(report, repair=False)

    async def repair(self, report: ReportProgress) -> JobReport:
        """What differed, and is mended now.

        Raises:
            Fault: the log, the store or the model fails; what was begun is applied again from the log.
        """
        return await self._run(report, repair=True)

    async def _run(self, report: ReportProgress, *, repair: bool) -> JobReport:
        target = self._of.progress.indexed_seq
        await self._read(target, lambda seq: report("reading", seq, target))
        suspects = await self._walk(lambda share: report("walking", int(share * target), target))
        phase = "mending" if repair else "looking again"
        tally = _Tally()
        for done, part in enumerate(_parts(suspects, _MEND)):
            report(phase, target * done * _MEND // len(suspects), target)
            await self._look_again(part, tally, repair=repair)
        wrong = tally.counts.total()
        return JobReport(
            events=self._expected.events(),
            missing=tally.counts[MISSING],
            orphaned=tally.counts[ORPHANED],
            differing=tally.counts["differing"],
            repaired=tally.repaired if repair else None,
            rebuild_advised=wrong - tally.repaired > self._expected.events() // _REBUILD_SHARE,
            examples=tally.examples,
        )

    async def _read(self, target: int, report: Callable[[int], None] = lambda _seq: None) -> None:
        """Fold the log up to `target` into the expected index."""
        batch: list[LogMessage] = []
        async for message in self._of.source.read(self._read_up_to + 1, target):
            batch.append(message)
            if len(batch) == _READ_MESSAGES:
                await self._fold(batch)
                report(message.seq)
                batch = []
        await self._fold(batch)
        self._read_up_to = max(self._read_up_to, target)
        report(target)

    async def _fold(self, batch: Sequence[LogMessage]) -> None:
        if batch:
            await self._of.refused.refresh()
            await self._of.workers.read(self._expected.add, batch, self._of.refused.refusals().keys())

    async def _walk(self, report: Callable[[float], None]) -> list[Suspect]:
        """Everything that looks wrong, in the log's view or in the index's."""
        of = self._of
        first_seq = (await of.source.state()).first_seq
        places = await of.workers.read(of.store.places)
        suspects: list[Suspect] = []
        everything: list[Suspect] = []
        for collection in sorted({*self._expected.collections(), *places}):
            held = await of.workers.read(of.store.ids, collection)
            everything += [(collection, one) for one in sorted({*held, *self._expected.ids(collection)})]
        for done, part in enumerate(_parts(everything, _LOOK_AT)):
            report(done * _LOOK_AT / len(everything))
            suspects += (await self._compare(part, first_seq)).keys()
        return suspects

    async def _compare(self, part: Sequence[Suspect], first_seq: int) -> dict[Suspect, str]:
        """What is wrong with which of `part`."""
        wrong: dict[Suspect, str] = {}
        for collection in dict.fromkeys(one for one, _ in part):
            ids = [event_id for name, event_id in part if name == collection]
            stored = await self._of.workers.read(self._of.store.digests, collection, ids)
            for one in ids:
                what = self._expected.compare(collection, one, stored.get(one, StoredDigests()), first_seq)
                if what is not None:
                    wrong[collection, one] = what
        return wrong

    async def _look_again(self, part: Sequence[Suspect], tally: _Tally, *, repair: bool) -> None:
        # First as far as the index is by now, so that little is left to read while the log waits.
        await self._read(self._of.progress.indexed_seq)
        async with self._of.hold():
            await self._read(self._of.progress.indexed_seq)
            first_seq = (await self._of.source.state()).first_seq
            wrong = await self._compare(part, first_seq)
            for suspect, what in wrong.items():
                tally.add(suspect, what)
                log.warning("difference", collection=suspect[0], id=suspect[1], what=what)
            if repair and wrong:
                await self._repair(list(wrong))
                tally.repaired += len(wrong) - len(await self._compare(list(wrong), first_seq))

    async def _repair(self, suspects: Sequence[Suspect]) -> None:
        seqs = {seq for collection, one in suspects for seq in self._expected.seqs(collection, one)}
        await reapply(self._of, suspects, sorted(seqs))


async def reapply(of: Subject, suspects: Sequence[Suspect], seqs: Sequence[int]) -> None:
    """Take out what the index has of `suspects`, and apply what the log still has at `seqs`; only while held.

    Raises:
        Fault: the log, the store or the model fails; what was begun is applied again from the log.
    """
    covered = of.progress.indexed_seq
    # Until they are applied again, the index covers the log only up to before them: if this process ends
    # or this job, all that comes behind is then applied again.
    messages = [message for seq in seqs async for message in of.source.read(seq, seq)]
    before = messages[0].seq - 1 if messages else covered
    await of.save_watermark(before)
    try:
        for collection in dict.fromkeys(one for one, _ in suspects):
            ids = [event_id for name, event_id in suspects if name == collection]
            await of.applier.take_out(collection, ids)
        await of.applier.apply(messages)
    except BaseException:
        of.progress.rewind(before)
        raise
    await of.save_watermark(covered)


def _parts(values: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]
