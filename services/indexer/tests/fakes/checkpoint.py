"""The checkpoint of the ingest in memory."""

from collections.abc import Callable
from pathlib import Path

from fakes.chaos import CALM, Chaos
from fakes.deliveries import FakeDeliveries
from precedent_indexer.domain.messages import ConsumerState, LogState
from precedent_indexer.errors import BusUnavailable, StartRefused, StoreUnavailable
from precedent_indexer.ingest.checkpoint import Checkpoint
from precedent_indexer.ingest.crash_journal import CrashJournal


class FakeCrashJournal(CrashJournal):
    """The note in memory; give `left` to the next life of the process."""

    def __init__(self, left: str = "", chaos: Chaos = CALM) -> None:
        self.left = left
        self.chaos = chaos
        super().__init__(Path("fake"))

    def _recall(self) -> str:
        return self.left

    def _write(self, text: str) -> None:
        self.chaos.step("crash_journal.write", OSError("fake: write"))
        self.left = text
        self.chaos.step("crash_journal.written", OSError("fake: written, but nobody heard of it"))


class FakeCheckpoint(Checkpoint):
    """A checkpoint in memory; `saved` is the watermark that a restart finds."""

    def __init__(self, feed: FakeDeliveries, chaos: Chaos = CALM) -> None:
        self.feed = feed
        self.chaos = chaos
        self.saved = 0
        self.saves: list[int] = []
        self.on_save: Callable[[int], None] = lambda _seq: None
        self.owner_checks = 0
        self.journal = FakeCrashJournal("", chaos)

    def reopen(self) -> None:
        """The process begins a new life."""
        self.journal = FakeCrashJournal(self.journal.left, self.chaos)

    async def save_watermark(self, seq: int) -> None:
        """Keep it."""
        self.chaos.step("checkpoint.save", StoreUnavailable("fake: save"))
        self.on_save(seq)
        self.saved = seq
        self.saves.append(seq)
        self.chaos.step("checkpoint.saved", StoreUnavailable("fake: saved, but nobody heard of it"))

    def check_log(self, log_state: LogState) -> None:
        """The log is always the one that it was."""

    async def recreate_consumer(self, after_seq: int) -> None:
        """Make it again."""
        self.chaos.step("checkpoint.recreate", BusUnavailable("fake: recreate"))
        self.feed.recreate(after_seq)

    async def check_owner(self, consumer: ConsumerState) -> None:
        """As the real books do."""
        self.owner_checks += 1
        if consumer.index_uuid != "fake":
            raise StartRefused(f"fake: the consumer feeds {consumer.index_uuid}")
