"""What the rooms of the indexer need of the outside, and the values that pass between them."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from precedent_indexer.adapters.chroma.health import Symptoms
from precedent_indexer.domain.row_digest import StoredDigests
from precedent_indexer.domain.rows import OutcomeRecord, Row
from precedent_indexer.embedding.model_files import ModelInfo
from precedent_schemas.events import Deletion
from precedent_schemas.failures import DeadReason

Vectors = npt.NDArray[np.float32]
"""(n, 384), rows of length one."""
Vector = npt.NDArray[np.float32]
"""(384,), length one."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One message off the bus."""

    subject: str
    reply: str
    data: bytes
    headers: Mapping[str, str]


@dataclass(slots=True)
class Tally:
    """Statistics of one endpoint, kept here because its handler returns before the work is done."""

    errors: int = 0
    last_error: str = ""
    processing_ns: int = 0


@dataclass(frozen=True, slots=True)
class Where:
    """What the store narrows by, in its own words; only `filters` and the store itself make them.

    Attributes:
        metadata: a clause over the metadata; None for all.
        contains: a piece of the text; None for all.
    """

    metadata: Mapping[str, Any] | None = None
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class LogMessage:
    """One message of the log.

    Attributes:
        seq: its stream sequence.
        stored_at: when the log stored it, UTC.
        deliveries: how often it was given to this consumer; 1 when it was read from the log directly.
    """

    seq: int
    subject: str
    data: bytes
    headers: Mapping[str, list[str]]
    stored_at: datetime
    deliveries: int = 1


@dataclass(frozen=True, slots=True)
class LogState:
    """The log as the server has it; `created` tells one log from another of the same name."""

    created: str
    first_seq: int
    last_seq: int
    messages: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ConsumerState:
    """The durable consumer as the server has it.

    Attributes:
        index_uuid: of the index that it feeds.
        instance: the process that has claimed it for that index.
    """

    delivered_seq: int
    pending: int
    ack_pending: int
    redelivered: int
    index_uuid: str | None
    instance: str | None


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


class Log(Protocol):
    """The log itself, read past the consumer and written by deletions."""

    async def state(self) -> LogState:
        """Its extent now."""

    def read(self, first: int, last: int) -> AsyncIterator[LogMessage]:
        """What still exists from sequence `first` to `last`, both included, in order."""

    def deletions(self, collection: str, after_seq: int) -> AsyncIterator[LogMessage]:
        """The deletions of a collection behind `after_seq`, in order."""

    async def publish_deletion(self, collection: str, deletion: Deletion) -> int:
        """Write a deletion; its sequence."""

    async def erase(self, seqs: Sequence[int]) -> None:
        """Overwrite these messages in the log's files; what is gone already is no error."""

    async def purge(self, subjects: Sequence[str], before_seq: int) -> None:
        """Remove every message on these subjects below `before_seq`."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message of the log is not indexed; `detail` is printable ASCII."""

    reason: DeadReason
    detail: str


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


@dataclass(frozen=True, slots=True)
class Identity:
    """What an index knows of itself.

    Attributes:
        uuid: its own name; the durable consumer carries it too.
        stream_created: creation time of the log that it is a view of, as the server writes it.
        fingerprint: of the model whose vectors it holds.
        watermark: every message up to this sequence is applied; never ahead of what is stored.
        index_format: how rows are laid out; another one means a rebuild.
        mark_seq: a message that was read from the log, 0 where none is known: it tells whether the log is still the
            one that was read.
        mark_at: when the log stored that message.
    """

    uuid: str
    stream_created: str
    fingerprint: str
    watermark: int
    index_format: int
    mark_seq: int = 0
    mark_at: str = ""


@dataclass(slots=True)
class Writes:
    """What one collection is to hold after a batch: applied as a whole, harmless when applied twice."""

    rows: dict[str, tuple[Row, Vector]] = field(default_factory=dict)
    outcomes: dict[str, OutcomeRecord] = field(default_factory=dict)
    joined: dict[str, OutcomeRecord | None] = field(default_factory=dict)
    """Outcomes to be shown, or no longer, with rows that are there already and not in `rows`."""
    seqs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Longer lists of sequences for rows that otherwise stay as they are."""


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
