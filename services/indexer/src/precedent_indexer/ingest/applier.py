"""Applies a batch of messages to the index, in the order of the log: decode, embed, merge, store, delete.

Messages of the consumer and messages that were read from the log directly take the same path, with the same effect.
Applying a message twice has the same effect as once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

import structlog

from precedent_indexer.domain.index_state import Vector, Writes
from precedent_indexer.domain.merge import fold, is_news
from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import Delete, Operation, PutEvent, PutOutcome, decode
from precedent_indexer.domain.ports import DeadLetters, Log, VectorStore
from precedent_indexer.embedding.displacement import displace
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.errors import BusUnavailable, ModelUnavailable
from precedent_indexer.index.deleted_text import DeletedTextMarker
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.ingest.deletion import Deleter
from precedent_indexer.ingest.poison import PoisonIsolation
from precedent_indexer.ingest.uncommitted import UncommittedVectors
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.failures import DeadReason

log = structlog.get_logger(__name__)

_PROBE: Final = "a text that every model can embed"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A decoded and embedded batch.

    Attributes:
        messages: the batch, in the order of the log.
        operations: what the messages that were not refused ask for.
        vectors: displaced vector of each event, by sequence.
        refusals: why messages were refused, by sequence.
        plain: vector of each text before displacement.
    """

    messages: Sequence[LogMessage]
    operations: Sequence[Operation]
    vectors: Mapping[int, Vector]
    refusals: Mapping[int, Refusal]
    plain: Mapping[str, Vector] = field(default_factory=dict)


class Applier:
    """Applies messages to one index."""

    def __init__(
        self,
        *,
        store: VectorStore,
        embedding: Embedding,
        dead_letters: DeadLetters,
        source: Log,
        workers: Workers,
        max_collections: int,
        vectors: VectorFile,
        deleted_text: DeletedTextMarker,
        deletion_results: DeletionResults,
        metrics: Metrics,
    ) -> None:
        """`vectors` and `deleted_text` are files beside the store; `deletion_results` learn what deletions remove."""
        self._metrics = metrics
        self._store = store
        self._embedding = embedding
        self._dead_letters = dead_letters
        self._source = source
        self._workers = workers
        self._max_collections = max_collections
        self._isolation = PoisonIsolation(store, workers)
        self.reused = 0
        """Texts whose vector was known already."""
        self._vectors = vectors
        self._deleted_text = deleted_text
        self._deletion_results = deletion_results
        self._deleter = Deleter(
            store=store,
            embedding=embedding,
            source=source,
            dead_letters=dead_letters,
            workers=workers,
            vectors=vectors,
            deleted_text=deleted_text,
            deletion_results=self._deletion_results,
        )
        self._uncommitted = UncommittedVectors(vectors, workers)
        self.alive: Callable[[], None] = lambda: None
        """Called regularly within steps that may take minutes."""

    async def apply(self, messages: Sequence[LogMessage]) -> dict[int, Refusal]:
        """Prepare and commit `messages`; the refusals, by sequence."""
        return await self.commit(await self.prepare(messages))

    async def prepare(self, messages: Sequence[LogMessage]) -> Prepared:
        """Decode and embed; changes nothing, so that one batch is prepared while the one before is committed.

        Raises:
            ModelUnavailable: the model fails on every text.
        """
        refusals: dict[int, Refusal] = {}
        operations: list[Operation] = []
        for message in messages:
            decoded = self._decode(message)
            if isinstance(decoded, Refusal):
                refusals[message.seq] = decoded
            else:
                operations.append(decoded)
        events = [one for one in operations if isinstance(one, PutEvent)]
        plain = await self._embed(events)
        vectors: dict[int, Vector] = {}
        for one in events:
            if one.event.text in plain:
                vectors[one.seq] = displace(plain[one.event.text], one.event.id)
            else:
                refusals[one.seq] = Refusal(DeadReason.UNPROCESSABLE, "the model cannot embed this text")
        return Prepared(messages, operations, vectors, refusals, plain)

    def _decode(self, message: LogMessage) -> Operation | Refusal:
        known = self._dead_letters.refusals().get(message.seq)
        if known is not None:
            # Refused earlier, perhaps by a lost index. A dead letter stays one until it is replayed or dropped:
            # a message must not be in the index too. It may also crash the process again.
            return known
        try:
            return decode(message)
        except Exception as error:  # noqa: BLE001 -- any failure concerns this message alone
            return Refusal(DeadReason.UNPROCESSABLE, f"the indexer cannot read this message: {type(error).__name__}")

    async def probe(self) -> None:
        """Check that the model and the store work, before a message is blamed for a failure.

        Raises:
            Fault: one of them does not work.
        """
        await self._probe_model(None)
        await self._isolation.probe()

    async def commit(self, prepared: Prepared) -> dict[int, Refusal]:
        """Store a prepared batch in the order of the log; the refusals, by sequence, each stored as a dead letter.

        Raises:
            Fault: the store or the bus failed; the batch may be committed again.
        """
        refusals = dict(prepared.refusals)
        by_seq = {message.seq: message for message in prepared.messages}
        await self._refuse_beyond_the_cap(prepared.operations, refusals)
        await self._dead_letter(by_seq, refusals)
        operations = [one for one in prepared.operations if one.seq not in refusals]
        try:
            await self._store_all(operations, prepared)
        except BusUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 -- any error of the store; perhaps only some messages cause it
            log.warning("batch_not_stored", messages=len(operations), error=type(error).__name__)
            misfits = await self._isolation.each(operations, lambda one: self._store_all([one], prepared))
            await self._dead_letter(by_seq, misfits)
            refusals |= misfits
        await self._uncommitted.settle(prepared.plain)
        return refusals

    async def idle(self) -> None:
        """Note that no message is in flight and none waits."""
        await self._uncommitted.clear()

    async def _dead_letter(self, by_seq: Mapping[int, LogMessage], refusals: Mapping[int, Refusal]) -> None:
        for seq, refusal in sorted(refusals.items()):
            await self._dead_letters.put(by_seq[seq], refusal)
            self.alive()
            # The detail may quote the message: it is shown with the dead letter.
            log.warning("dead_letter", seq=seq, reason=str(refusal.reason))

    async def _refuse_beyond_the_cap(self, operations: Sequence[Operation], refusals: dict[int, Refusal]) -> None:
        """Refuse events, and outcomes without an event, that would begin a collection beyond the cap."""
        puts = [one for one in operations if not isinstance(one, Delete) and one.seq not in refusals]
        wanted = {one.collection for one in puts}
        if not {one for one in wanted if not await self._workers.read(self._store.exists, one)}:
            return
        known = set(await self._workers.read(self._store.places))
        for one in puts:
            if one.collection in known:
                continue
            if len(known) < self._max_collections:
                known.add(one.collection)
                continue
            refusals[one.seq] = Refusal(
                DeadReason.UNPROCESSABLE,
                f"collection {one.collection} would be one more than the {self._max_collections} allowed: "
                "raise PRECEDENT_MAX_COLLECTIONS and replay",
            )

    async def _embed(self, events: Sequence[PutEvent]) -> dict[str, Vector]:
        """The vector of each distinct text that can be embedded."""
        known = await self._recall(events)
        texts = list(dict.fromkeys(one.event.text for one in events if one.event.text not in known))
        self.reused += len(known) + sum(text in self._embedding.cache for text in texts)
        if not texts:
            return known
        try:
            return known | await self._embedding.of_events(texts, alive=self._sign, keep=self._uncommitted.keep)
        except Exception as error:  # noqa: BLE001 -- any error of the runtime; perhaps only some texts cause it
            log.warning("embedding_failed", texts=len(texts), error=type(error).__name__)
            return known | await self._embed_one_by_one(texts)

    def _sign(self) -> None:
        self.alive()

    async def _recall(self, events: Sequence[PutEvent]) -> dict[str, Vector]:
        """Vectors in the vector file, of texts that are not in the cache."""
        found: dict[str, Vector] = {}
        unknown = [one.event for one in events if one.event.text not in self._embedding.cache]
        for collection in dict.fromkeys(event.collection for event in unknown):
            texts = list({event.text for event in unknown if event.collection == collection})
            found |= await self._workers.read(self._vectors.find, collection, texts)
        return await self._uncommitted.find([event.text for event in unknown]) | found

    async def _embed_one_by_one(self, texts: Sequence[str]) -> dict[str, Vector]:
        plain: dict[str, Vector] = {}
        for text in texts:
            try:
                plain |= await self._embedding.of_events([text], alive=self._sign, keep=self._uncommitted.keep)
            except Exception as error:  # noqa: BLE001 -- as above
                await self._probe_model(error)
        return plain

    async def _probe_model(self, cause: Exception | None) -> None:
        # If the model fails on every text, the model is at fault, not a text.
        try:
            await self._embedding.embed_uncached(_PROBE)
        except Exception as error:  # noqa: BLE001 -- as above
            raise ModelUnavailable(f"the model embeds nothing any more: {type(error).__name__}") from cause

    async def _store_all(self, operations: Sequence[Operation], prepared: Prepared) -> None:
        # A deletion divides the batch: messages before it are stored before it is applied.
        for is_deletion, run in groupby(operations, key=lambda one: isinstance(one, Delete)):
            part = list(run)
            if is_deletion:
                for one in part:
                    if isinstance(one, Delete):
                        await self._deleter.delete(one, self.alive)
                        self._count_deletion(one)
            else:
                for collection in dict.fromkeys(one.collection for one in part):
                    puts = [one for one in part if one.collection == collection and not isinstance(one, Delete)]
                    await self._put(collection, puts, prepared)
                    self.alive()

    async def _put(self, collection: str, operations: Sequence[PutEvent | PutOutcome], prepared: Prepared) -> None:
        ids = list(
            dict.fromkeys(one.event.id if isinstance(one, PutEvent) else one.outcome.event_id for one in operations)
        )

        def read_fold_write() -> tuple[Writes, set[str]]:
            rows = self._store.rows(collection, ids)
            outcomes = self._store.outcomes(collection, ids)
            writes = fold(operations, rows, outcomes, prepared.vectors)
            self._store.write(collection, writes)
            texts = {row.event.text for row, _ in writes.rows.values()}
            before = {rows[event_id].event.text for event_id in writes.rows if event_id in rows} - texts
            if writes.rows:
                self._vectors.keep(collection, {text: prepared.plain[text] for text in texts}, before)
            passed_over = {one.event.text for one in operations if isinstance(one, PutEvent)} - texts
            return writes, before | passed_over

        writes, superseded = await self._workers.write(read_fold_write)
        # A later deletion of the event knows only its last text, so superseded texts are forgotten now.
        self._embedding.cache.forget(superseded)
        for one in operations:
            kind = "event" if isinstance(one, PutEvent) else "outcome"
            self._metrics.messages.labels(kind, "applied" if is_news(one, writes) else "superseded").inc()

    def _count_deletion(self, deletion: Delete) -> None:
        removed = self._deletion_results.of(deletion.seq)
        self._metrics.messages.labels("deletion", "applied").inc()
        self._metrics.events_removed.labels("deleted").inc(removed if isinstance(removed, int) else len(removed or ()))

    async def take_out(self, collection: str, ids: Sequence[str]) -> None:
        """Remove these ids from the index without reading them, since they contradict the log."""

        def remove() -> None:
            self._deleted_text.note()
            self._store.remove(collection, ids, ids)

        await self._workers.write(remove)

    def removed_by(self, seq: int) -> list[str] | int | None:
        """What the deletion with this sequence removed: ids, or a number; None if it is not applied yet."""
        return self._deletion_results.of(seq)
