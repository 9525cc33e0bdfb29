"""Ports: what the indexer needs of NATS, of the store and of the model, as protocols."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from precedent_indexer.domain.index_state import Identity, ModelInfo, Vector, Vectors, Where, Writes
from precedent_indexer.domain.messages import ConsumerState, LogMessage, LogState, Refusal
from precedent_indexer.domain.row_digest import StoredDigests
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_schemas.events import Deletion


class Delivery(Protocol):
    """A delivered message, which is settled exactly once."""

    @property
    def message(self) -> LogMessage:
        """The message."""

    async def ack(self) -> None:
        """The index has it: do not deliver it again."""

    async def term(self) -> None:
        """The message is a dead letter: do not deliver it again."""

    async def nak(self) -> None:
        """This process will not process it: deliver it again at once."""

    async def in_progress(self) -> None:
        """The message is still being processed: restart ack_wait."""


class Deliveries(Protocol):
    """Deliveries of the durable consumer."""

    async def next_batch(self, limit: int, timeout_s: float) -> Sequence[Delivery]:
        """Up to `limit` messages as soon as there is one; none after `timeout_s` seconds of silence.

        Raises:
            ConsumerGone: the consumer was deleted.
        """

    def waiting(self) -> Sequence[Delivery]:
        """Deliveries that have arrived and were not returned by `next_batch` yet."""

    async def state(self) -> ConsumerState:
        """State of the consumer on the server.

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
    """The log, read directly rather than through the consumer; only deletions are written."""

    async def state(self) -> LogState:
        """The extent of the log now."""

    def read(self, first: int, last: int) -> AsyncIterator[LogMessage]:
        """Messages that still exist from sequence `first` to `last`, both included, in order."""

    async def gone(self) -> list[int]:
        """Sequences between its first and its last message that it no longer has, in order."""

    def deletions(self, collection: str, after_seq: int) -> AsyncIterator[LogMessage]:
        """The deletions of a collection after sequence `after_seq`, in order."""

    async def publish_deletion(self, collection: str, deletion: Deletion) -> int:
        """Publish a deletion; its sequence."""

    async def erase(self, seqs: Sequence[int]) -> None:
        """Overwrite these messages in the log's files; messages that are gone already are skipped."""

    async def purge(self, subjects: Sequence[str], before_seq: int) -> None:
        """Remove every message on these subjects below `before_seq`."""


class DeadLetters(Protocol):
    """The dead letters: messages that were refused."""

    async def put(self, message: LogMessage, refusal: Refusal) -> None:
        """Store a message as a dead letter, durable on return; the same message twice gives one dead letter."""

    async def refresh(self) -> None:
        """Read the dead letters that were written since the last call."""

    def refusals(self) -> Mapping[int, Refusal]:
        """Reasons of the refusals that `refresh` has read, by the sequence of the original message."""

    def about(self, collection: str, ids: Collection[str]) -> list[int]:
        """Sequences of original messages that name one of these events, as far as `refresh` has read them."""

    async def remove(self, original: int) -> None:
        """Erase the dead letters of one original."""

    async def count(self) -> int:
        """Messages in the dead-letter stream."""


class Embedder(Protocol):
    """Texts to vectors; blocking, called in threads."""

    @property
    def model(self) -> ModelInfo:
        """The model that computes the vectors."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts, shape (n, 384), in their order."""


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
        """Failures of this store."""

    def identity(self) -> Identity | None:
        """The stored identity of the index; None if there is none yet."""

    def set_identity(self, identity: Identity) -> None:
        """Store it; durable on return."""

    def collections(self) -> list[str]:
        """Names of the collections that exist, sorted."""

    def places(self) -> list[str]:
        """Collections that count against the cap: also those that have only outcomes so far."""

    def exists(self, collection: str) -> bool:
        """Whether the collection exists; cheap."""

    def create(self, collection: str) -> None:
        """Create a collection, unless it exists."""

    def count(self, collection: str) -> int:
        """Number of events in the collection."""

    def rows(self, collection: str, ids: Sequence[str]) -> dict[str, Row]:
        """Rows of those of `ids` that exist."""

    def vector(self, collection: str, event_id: str) -> Vector | None:
        """The stored vector of one event."""

    def outcomes(self, collection: str, ids: Sequence[str]) -> dict[str, OutcomeRecord]:
        """The latest outcomes of those of `ids` that have one, whether the event exists or not."""

    def write(self, collection: str, writes: Writes) -> None:
        """Store it; durable on return."""

    def remove(self, collection: str, events: Sequence[str], outcomes: Sequence[str]) -> None:
        """Remove these events and these outcomes; unknown ids are skipped."""

    def remove_before(self, collection: str, seq: int) -> int:
        """Remove every event and outcome below sequence `seq`; the number of events removed."""

    def older(self, collection: str, seq: int, limit: int) -> tuple[list[Row], list[str]]:
        """Rows below `seq`, and ids whose outcome is below it; at most `limit` of each."""

    def decided_within(self, collection: str, first_seq: int, last_seq: int) -> dict[str, int]:
        """Ids of events, there or not, whose latest outcome lies from `first_seq` to `last_seq`, and where."""

    def nearest(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[Row, float]]:
        """Up to `n` rows nearest to `vector` with their cosine similarity, best first; approximate."""

    def nearest_ids(self, collection: str, vector: Vector, n: int, where: Where | None) -> list[tuple[str, float]]:
        """As `nearest`, with ids only: many times cheaper for a large `n`."""

    def vectors(self, collection: str, where: Where | None, limit: int | None) -> tuple[list[str], Vectors]:
        """Ids and vectors of the rows that match `where`, at most `limit`; exact."""

    def window(self, collection: str, first_seq: int, last_seq: int, where: Where | None) -> list[Row]:
        """The rows with sequences from `first_seq` to `last_seq`, both included, that match `where`, sorted."""

    def ids(self, collection: str) -> list[str]:
        """Every id that has an event or an outcome, even if it cannot be read."""

    def digests(self, collection: str, ids: Sequence[str]) -> dict[str, StoredDigests]:
        """Digests of what is stored for those of `ids` that have an event or an outcome."""

    def close(self) -> None:
        """Close the files or the connection."""


class Generations(Protocol):
    """The generations of one index; each has a directory for the files beside its store."""

    @property
    def path(self) -> Path:
        """Directory that holds the directories of the generations."""

    def renew(self) -> None:
        """Create that directory again if it was removed.

        Raises:
            StartRefused: it cannot be created.
        """

    def current(self) -> Path | None:
        """The generation in use; None if there is none."""

    def is_damaged(self) -> bool:
        """Whether the generation that should be in use is missing."""

    def all(self) -> list[Path]:
        """Every generation, the oldest first."""

    def new(self) -> Path:
        """Create an empty generation, which is not in use yet."""

    def switch(self, generation: Path) -> None:
        """Put `generation` into use, atomically: a crash leaves either the old or the new one in use."""

    def drop(self, generation: Path) -> None:
        """Remove a generation; what cannot be removed now is removed at the next start."""

    def drop_others(self, *keep: Path) -> list[str]:
        """Remove every generation except those in `keep`; the names of the removed ones."""


Probe = Callable[[Path], Awaitable[str | None]]
"""Probes the generation in this directory: what is wrong with it, or None."""
