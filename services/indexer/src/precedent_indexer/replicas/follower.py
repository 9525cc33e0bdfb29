"""A replica that does not write: it answers from the index that another replica writes, up to the stored watermark."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import structlog
from pydantic import BaseModel

from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.server import Verb
from precedent_indexer.app.handlers import reading_handlers
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.domain.ports import DeadLetters, Log, VectorStore
from precedent_indexer.domain.rows import READABLE_FORMATS
from precedent_indexer.domain.writers import Claim, WriterHistory
from precedent_indexer.embedding.scheduler import AbsentModel, Embedding
from precedent_indexer.index.liveness import Liveness
from precedent_indexer.index.watermark import Progress
from precedent_indexer.replicas.forwarding import Requester, forwarded
from precedent_indexer.runtime.threads import Workers
from precedent_schemas import catalogue

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 0.1
"""Seconds between two looks at how far the index is: so long a read of one's own write waits beside the writer."""


class Refused(DeadLetters, Protocol):
    """The dead letters, as a follower reads them."""

    async def refresh(self) -> None:
        """Read the dead letters that are new."""


class Follower:
    """The generation in use, read again and again for how far it is; another takes its place in one step."""

    def __init__(
        self,
        *,
        read_history: Callable[[], WriterHistory],
        open_store: Callable[[str], VectorStore],
        embedding: Embedding,
        source: Log,
        dead_letters: Refused,
        workers: Workers,
        bus: Requester,
        claim: Callable[[], Claim | None],
        max_payload: Callable[[], int],
    ) -> None:
        self.progress = Progress(0)
        self.liveness = Liveness()
        self._read_history = read_history
        self._open_store = open_store
        self._embedding = embedding
        self._source = source
        self._dead_letters = dead_letters
        self._workers = workers
        self._bus = bus
        self._claim = claim
        self._max_payload = max_payload
        self._known: Mapping[int, Refusal] = {}
        self._generation: tuple[str, str] | None = None
        self._view_now: IndexView | None = None

    async def look(self) -> tuple[WriterHistory, IndexView | None]:
        """How far the index is now; and a view of it where another generation is in use since the last look.

        Raises:
            Fault: the index or the log cannot be read just now.
        """
        history = await self._workers.read(self._read_history)
        identity = history.identity
        if history.current is None or identity is None or identity.index_format not in READABLE_FORMATS:
            return history, None
        # Before it is said that the index covers them: whoever waits for one of them is told that it was refused.
        await self._dead_letters.refresh()
        refusals = dict(self._dead_letters.refusals())
        for seq in refusals.keys() - self._known.keys():
            self.progress.refuse(seq, refusals[seq])
        for seq in self._known.keys() - refusals.keys():
            self.progress.forget(seq)
        self._known = refusals
        view = None
        generation = (history.current, identity.fingerprint)
        if generation != self._generation:
            log.info("following", generation=history.current, indexed_seq=identity.watermark)
            self._generation = generation
            view = self._view_now = self._view(history.current, identity)
        self.progress.rewind(identity.watermark)
        self.progress.advance(identity.watermark)
        return history, view

    def verbs(self, view: IndexView) -> Mapping[str, Verb]:
        """Handlers by endpoint: verbs that only read the index are answered here, all others by the writer."""
        forwarding = {one.name: forwarded(one, self._bus, self._claim) for one in catalogue.ENDPOINTS}
        return forwarding | reading_handlers(view, self._max_payload)

    async def prefetch(self, request: BaseModel, _seq: int) -> None:
        """Begin what a question that waits for the index will need: no event is embedded here that it could hold up."""
        if self._view_now is not None:
            self._view_now.prefetch(request)

    def _view(self, generation: str, identity: Identity) -> IndexView:
        fits = identity.fingerprint == self._embedding.model.fingerprint
        return IndexView(
            store=self._open_store(generation),
            embedding=self._embedding if fits else AbsentModel(identity.fingerprint, lambda: 0.0),
            source=self._source,
            progress=self.progress,
            workers=self._workers,
        )
