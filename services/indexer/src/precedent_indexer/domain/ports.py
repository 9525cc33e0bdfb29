"""What the rooms of the indexer need of the outside, and the values that pass between them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from precedent_indexer.domain.index_state import Identity, ModelInfo, Vector, Vectors, Where, Writes
from precedent_indexer.domain.messages import ConsumerState, LogMessage, LogState, Refusal
from precedent_indexer.domain.row_digest import StoredDigests
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_schemas.events import Deletion


class Delivery(Protocol):
    """A message together with how to settle it; settled exactly once."""

    @property
    def message(self) -> LogMessage:
        """What was delivered."""

    async def ack(self) -> None:
        """It is safely in the index (or was already)."""

    async def term(self) -> None:
        """It is a dead letter: never deliver it again."""

    async def nak(self) -> None:
        """It will not be worked on here: deliver it again at once."""

    async def in_progress(self) -> None:
        """It is still being worked on: start ack_wait anew."""


class Deliveries(Protocol):
    """The durable consumer."""

    async def next_batch(self, limit: int, timeout_s: float) -> Sequence[Delivery]:
        """Up to `limit` messages as soon as there is one; none after `timeout_s` seconds of silence.

        Raises:
            ConsumerGone: the consumer was deleted.
        """

    def waiting(self) -> Sequence[Delivery]:
        """What has arrived here and is not handed out yet."""

    async def state(self) -> ConsumerState:
        """How far it is.

        Raises:
            ConsumerGone: the consumer was deleted.
        """


class Consumer(Protocol):
    """The durable consumer on the server, which belongs to one index and one process at a time."""

    @property
    def instance(self) -> str:
        """Name of this process in the consumer's metadata."""

    async def ensure(self, *, index_uuid: str | None, after_seq: int) -> None:
        """Create the consumer, or check it, and claim it for this index and this process.

        Raises:
            StartRefused: the consumer's settings contradict the contract, or it feeds another index.
        """

    async def create(self, *, index_uuid: str | None, after_seq: int) -> None:
        """Create the consumer; it delivers the messages after `after_seq`."""


class Log(Protocol):
    """The log itself, read past the consumer and written by deletions."""

    async def state(self) -> LogState:
        """Its extent now."""

    def read(self, first: int, last: int) -> AsyncIterator[LogMessage]:
        """What still exists from sequence `first` to `last`, both included, in order."""

    async def gone(self) -> list[int]:
        """Sequences between its first and its last message that it no longer has, in order."""

    def deletions(self, collection: str, after_seq: int) -> AsyncIterator[LogMessage]:
        """The deletions of a collection behind `after_seq`, in order."""

    async def publish_deletion(self, collection: str, deletion: Deletion) -> int:
        """Write a deletion; its sequence."""

    async def erase(self, seqs: Sequence[int]) -> None:
        """Overwrite these messages in the log's files; what is gone already is no error."""

    async def purge(self, subjects: Sequence[str], before_seq: int) -> None:
        """Remove every message on these subjects below `before_seq`."""


class DeadLetters(Protocol):
    """Where refused messages go."""

    async def put(self, message: LogMessage, refusal: Refusal) -> None:
        """Store it durably; the same message twice is one dead letter."""

    async def refresh(self) -> None:
        """Take note of what has become a dead letter since the last time."""

    def refusals(self) -> Mapping[int, Refusal]:
        """Why each original that has a dead letter was refused, by its sequence, as far as it was taken note of."""

    def about(self, collection: str, ids: Collection[str]) -> list[int]:
        """Originals that name one of these events, as far as they can be read and were taken note of."""

    async def remove(self, original: int) -> None:
        """Erase the dead letters of one original."""

    async def count(self) -> int:
        """Messages in the dead-letter stream."""


class Embedder(Protocol):
    """Texts to vectors; blocking, called in threads."""

    @property
    def model(self) -> ModelInfo:
        """Which model."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row for each text, in order."""


class Symptoms(Protocol):
    """Failures of one store, counted by what was asked of it."""

    def last(self, times: int, seconds: float) -> bool:
        """Whether one kind of call has failed at least `times` times in a row, for at least `seconds` seconds."""

    @property
    def disk_is_full(self) -> bool:
        """Whether the disk was full at the last failure, and no write has succeeded since."""

    @property
    def disk_was_full(self) -> bool:
        """Whether the disk was full and a write has succeeded since: what the store's files hold is uncertain."""


class VectorStore(Protocol):
    """The index on disk; blocking, called in threads.

    Every method raises StoreUnavailable when the store fails, or is closed.
    """

    @property
    def symptoms(self) -> Symptoms:
        """How it has been."""

    def identity(self) -> Identity | None:
        """What the index knows of itself; None in an empty directory."""

    def set_identity(self, identity: Identity) -> None:
        """Durable when it returns."""

    def collections(self) -> list[str]:
        """Names of the collections that exist, sorted."""

    def places(self) -> list[str]:
        """Names that count against the cap: collections, and those that have outcomes alone so far."""

    def exists(self, collection: str) -> bool:
        """Whether it exists; cheap."""

    def create(self, collection: str) -> None:
        """Make a collection; no error when it exists."""

    def count(self, collection: str) -> int:
        """Events in it."""

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Those of `ids` that are there."""

    def vector(self, collection: str, event_id: str) -> Vector | None:
        """The stored vector of one event."""

    def outcomes(self, collection: str, ids: Sequence[str]) -> dict[str, OutcomeRecord]:
        """The latest outcomes of those of `ids` that have one, whether the event is there or not."""

    def write(self, collection: str, writes: Writes) -> None:
        """Durable when it returns."""

    def remove(self, collection: str, events: Sequence[str], outcomes: Sequence[str]) -> None:
        """Remove these events and these outcomes; unknown ids are no error."""

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove every event and outcome below `seq`; how many events."""

    def older(self, collection: str, seq: int, limit: int) -> tuple[list[Row], list[str]]:
        """Rows below `seq`, and ids of events, there or not, whose outcome is below it; at most `limit` of each."""

    def decided_within(self, collection: str, first_seq: int, last_seq: int) -> dict[str, int]:
        """Ids of events, there or not, whose latest outcome lies from `first_seq` to `last_seq`, and where."""

    def nearest(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[Row, float]]:
        """Up to `n` rows nearest to `vector` with their cosine similarity, best first; approximate."""

    def nearest_ids(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[str, float]]:
        """The same with ids alone: many times cheaper for a large `n`."""

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors of every row that `where` lets pass, at most `limit`; exact."""

    def window(self, collection: str, first_seq: int, last_seq: int, where: Where | None) -> list[Row]:
        """The rows with sequences from `first_seq` to `last_seq`, both included, that `where` lets pass, sorted."""

    def ids(self, collection: str) -> list[str]:
        """Every id that has an event or an outcome, also where it cannot be read."""

    def digests(self, collection: str, ids: Sequence[str]) -> dict[str, StoredDigests]:
        """What is stored of those of `ids` that have an event or an outcome, unparsed."""

    def close(self) -> None:
        """Let go of the files."""


class Generations(Protocol):
    """Where the generations of one index are; each has a directory for what lies beside its store."""

    @property
    def path(self) -> Path:
        """What holds all of their directories."""

    def renew(self) -> None:
        """Make what holds them again, where somebody has removed it.

        Raises:
            StartRefused: it cannot be made.
        """

    def current(self) -> Path | None:
        """The generation in use, if there is one."""

    def is_damaged(self) -> bool:
        """Whether one should be in use, and is not there."""

    def all(self) -> list[Path]:
        """Every generation that is there, the oldest first."""

    def new(self) -> Path:
        """A fresh, empty generation; not in use yet."""

    def switch(self, generation: Path) -> None:
        """Take `generation` into use, in one step that survives a crash at any moment."""

    def drop(self, generation: Path) -> None:
        """Remove a generation; what cannot be removed now is removed by the next start."""

    def drop_others(self, *keep: Path) -> list[str]:
        """Remove every generation but those of `keep`; their names."""


Probe = Callable[[Path], Awaitable[str | None]]
"""What is wrong with the generation in this directory; None where nothing is."""
