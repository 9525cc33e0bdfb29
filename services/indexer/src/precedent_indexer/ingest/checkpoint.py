"""Saves the watermark with the index, and keeps the index's claim on the durable consumer."""

from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.messages import ConsumerState, LogState
from precedent_indexer.domain.ports import Consumer, Log
from precedent_indexer.errors import Fault, StartRefused
from precedent_indexer.index.generations import Generation
from precedent_indexer.index.layout import CRASH_JOURNAL
from precedent_indexer.index.log_match import marked, misfit, rewritten, with_watermark
from precedent_indexer.index.watermark import Progress
from precedent_indexer.ingest.crash_journal import CrashJournal
from precedent_indexer.runtime.threads import Workers


class Checkpoint:
    """The checkpoint of one generation."""

    def __init__(
        self, consumer: Consumer, index: Generation, progress: Progress, workers: Workers, source: Log
    ) -> None:
        self.journal = CrashJournal(index.path / CRASH_JOURNAL)
        """Which messages are in flight."""
        self._consumer = consumer
        self._index = index
        self._progress = progress
        self._workers = workers
        self._source = source
        self._identity = index.identity

    async def save_watermark(self, seq: int) -> None:
        """Save with the index that every message up to `seq` is applied.

        Raises:
            StartRefused: the log is not the one that was read; a new start rebuilds the index.
        """
        self._identity = await self._reached(seq)
        await self._workers.write(self._index.store.set_identity, self._identity)

    async def _reached(self, seq: int) -> Identity:
        try:
            reason = await rewritten(self._identity, self._source)
            identity = await marked(self._identity, self._source, seq)
        except Fault:
            # The log cannot be read now: the old mark stays valid.
            return with_watermark(self._identity, seq)
        if reason is not None:
            raise StartRefused(f"the index no longer fits the log: {reason}; started again, it is rebuilt from the log")
        return identity

    def check_log(self, log_state: LogState) -> None:
        """Check that the log is still the one that this index is a view of.

        Raises:
            StartRefused: the log was recreated, or is shorter than what was read; a new start begins a new index.
        """
        reason = misfit(with_watermark(self._index.identity, self._progress.indexed_seq), log_state)
        if reason is not None:
            raise StartRefused(f"the index no longer fits the log: {reason}; started again, it is rebuilt from the log")

    async def recreate_consumer(self, after_seq: int) -> None:
        """Create the durable consumer again; it delivers the messages after `after_seq`."""
        await self._consumer.create(index_uuid=self._index.identity.uuid, after_seq=after_seq)

    async def check_owner(self, consumer: ConsumerState) -> None:
        """Check that the consumer still feeds this index in this process.

        Raises:
            StartRefused: another process or another index has claimed it.
        """
        mine = self._index.identity.uuid
        if consumer.index_uuid == mine and consumer.instance not in {None, self._consumer.instance}:
            raise StartRefused(
                f"another indexer with a copy of index {mine} has taken over its consumer while this one was silent: "
                "one index has one writer; stop one of them"
            )
        if (consumer.index_uuid, consumer.instance) != (mine, self._consumer.instance):
            await self._consumer.ensure(index_uuid=mine, after_seq=self._progress.indexed_seq)
