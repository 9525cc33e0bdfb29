"""What leaves the middle of the log leaves the index too: removed by hand, by a purge, or by a lifetime of its own.

The log's count of messages says whether anything is gone between its first message and its last. Only if that count
has changed are the sequences asked for, and only those that are new are looked for in the index. What is found is
taken out, and what the log still has of the same ids, an older revision say, is applied again.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.index.generations import Generation
from precedent_indexer.index.watermark import Progress
from precedent_indexer.maintenance.service import IndexService
from precedent_indexer.maintenance.verify import Suspect, reapply

log = structlog.get_logger(__name__)

_LOOK_EVERY_S: Final = 5.0
"""Least seconds between two looks for what is gone, however often the count changes."""
_TOGETHER: Final = 64
"""Ids that are mended in one go: nothing is taken from the log for so long."""
_STRETCH: Final = 256
"""Messages that are still there, of which one read of the index may find the rows in vain."""

_MOST_LOST: Final = 512
"""Messages that are gone, whose rows one read of the index may bring into memory."""

Sequences = npt.NDArray[np.int64]


class LogGaps:
    """Follows the gaps of the log in the generation in use."""

    def __init__(self, service: IndexService, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._service = service
        self._progress = progress
        self._clock = clock
        self._of: Generation | None = None
        self._known: Sequences = np.empty(0, np.int64)
        self._looked_at: tuple[int, int] | None = None
        self._again_at = 0.0

    async def follow(self, log_state: LogState) -> int:
        """Drop what the log has lost since the last time; how many events and outcomes were dropped or put back.

        Raises:
            Fault: the log or the store fails just now; the next call begins again.
        """
        if self._service.index is not self._of:
            self._of, self._looked_at = self._service.index, None
            self._known = np.empty(0, np.int64)
        gone_count = log_state.last_seq - log_state.first_seq + 1 - log_state.messages
        found = (log_state.first_seq, gone_count)
        if found == self._looked_at or self._clock() < self._again_at:
            return 0
        self._again_at = self._clock() + _LOOK_EVERY_S
        # Read before the log is asked: what is applied later may still be told apart from what was lost before.
        covered = self._progress.indexed_seq
        gone = np.array(await self._service.subject.source.gone(), np.int64) if gone_count else self._known[:0]
        within = gone[gone <= covered]
        changed = await self._drop(np.setdiff1d(within, self._known, assume_unique=True))
        self._known = within
        # What lies behind the watermark is on its way into the index, perhaps, and looked at again.
        self._looked_at = found if len(within) == len(gone) else None
        return changed

    async def _drop(self, lost: Sequences) -> int:
        if not len(lost):
            return 0
        of = self._service.subject
        count = 0
        for collection in await of.workers.read(of.store.places):
            for some in _stretches(lost):
                ids = await of.workers.read(_affected, of.store, collection, some)
                for start in range(0, len(ids), _TOGETHER):
                    part = [(collection, one) for one in ids[start : start + _TOGETHER]]
                    async with of.hold():
                        await self._mend(part)
                    count += len(part)
        if count:
            log.warning("left_the_log", ids=count, messages=len(lost), remedy="none needed: the index has followed")
        return count

    async def _mend(self, part: Sequence[Suspect]) -> None:
        of = self._service.subject
        collection = part[0][0]
        ids = [one for _, one in part]
        rows = await of.workers.read(of.store.rows, collection, ids)
        outcomes = await of.workers.read(of.store.outcomes, collection, ids)
        seqs = {seq for row in rows.values() for seq in row.seqs}
        seqs |= {seq for record in outcomes.values() for seq in record.seqs}
        texts = [row.event.text for row in rows.values()]
        await of.workers.write(self._service.index.vectors.forget, collection, texts)
        await reapply(of, part, sorted(seqs))


def _stretches(lost: Sequences) -> Iterator[Sequences]:
    """`lost` in parts for one read of the index each: none is long, nor goes over many messages still there."""
    between = np.cumsum(np.diff(lost, prepend=lost[0]) - 1).clip(min=0)
    begin = 0
    for at in range(1, len(lost)):
        if between[at] - between[begin] > _STRETCH or at - begin == _MOST_LOST:
            yield lost[begin:at]
            begin = at
    yield lost[begin:]


def _affected(store: VectorStore, collection: str, lost: Sequences) -> list[str]:
    """Ids whose latest event or outcome is among what is lost."""
    first, last = int(lost[0]), int(lost[-1])
    lost_seqs = set(lost.tolist())
    events = [row.event.id for row in store.window(collection, first, last, None) if row.seq in lost_seqs]
    decided = store.decided_within(collection, first, last)
    return list(dict.fromkeys([*events, *(one for one, seq in decided.items() if seq in lost_seqs)]))
