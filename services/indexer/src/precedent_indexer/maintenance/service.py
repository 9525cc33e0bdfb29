"""The indexer as maintenance sees it: one generation in use, which another can replace."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from precedent_indexer.index.generations import Generation
from precedent_indexer.ingest.applier import Applier
from precedent_indexer.maintenance.verify import Subject


class IndexService(Protocol):
    """What rebuild, watchdog, housekeeping, metrics and the repair of late writes need of the active index."""

    @property
    def index(self) -> Generation:
        """The generation in use."""

    @property
    def is_rebuilding(self) -> bool:
        """Whether a rebuild is running, which will replace the generation in use."""

    @property
    def subject(self) -> Subject:
        """The generation in use, as it is compared with the log and repaired."""

    def filler(self, index: Generation) -> Applier:
        """The applier that fills `index`, a generation that is not in use, by the model that it is for."""

    async def reached(self) -> int:
        """The sequence up to which the next generation must have read before it can replace the one in use."""

    def held(self) -> AbstractAsyncContextManager[None]:
        """Inside, ingest is paused."""

    def take_over(self, index: Generation) -> Callable[[], Awaitable[object]]:
        """Replace the generation in use, while ingest is paused; the result waits for questions to the old one."""

    def refuse_questions(self) -> Callable[[], Awaitable[object]]:
        """Answer every question by `unavailable` until `take_over`; the result waits for the questions in progress."""

    async def save_watermark(self, seq: int) -> None:
        """Save with the generation in use that everything up to `seq` is applied."""

    async def let_questions_pass(self) -> None:
        """Wait while questions are in progress, for a quarter of a second at most."""
