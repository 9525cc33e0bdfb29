"""Messages of the log, in order, into the index: decode, embed, fold, store, remove.

The same corridor serves what the consumer delivers and what is read from the log directly, so that a message has
the same effect however it came. Applying it twice changes nothing.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import structlog

from precedent_indexer.decoding import Delete, Operation, PutEvent, PutOutcome, decode
from precedent_indexer.embedding import Embedding
from precedent_indexer.errors import ModelUnavailable
from precedent_indexer.folding import fold
from precedent_indexer.ports import (
    DeadLetters,
    Log,
    LogMessage,
    Refusal,
    Vector,
    VectorStore,
    Writes,
)
from precedent_indexer.records import OutcomeRecord
from precedent_indexer.vectors import displace
from precedent_indexer.workers import Workers
from precedent_schemas.failures import DeadReason
from precedent_schemas.subjects import event_subject, outcome_subject

log = structlog.get_logger(__name__)

_REMEMBERED_DELETIONS: Final = 1_000
_PROBE: Final = "a text that every model can embed"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch that is decoded and embedded; `vectors` are displaced, by sequence."""

    messages: Sequence[LogMessage]
    operations: Sequence[Operation]
    vectors: Mapping[int, Vector]
    refusals: Mapping[int, Refusal]


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
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._dead_letters = dead_letters
        self._source = source
        self._workers = workers
        self._max_collections = max_collections
        self._removed: OrderedDict[int, list[str] | int] = OrderedDict()

    async def apply(self, messages: Sequence[LogMessage]) -> dict[int, Refusal]:
        """Prepare and commit `messages`; what is refused, by sequence."""
        return await self.commit(await self.prepare(messages))

    async def prepare(self, messages: Sequence[LogMessage]) -> Prepared:
        """Decode and embed; touches nothing, so that the next batch is prepared while this one is committed.

        Raises:
            ModelUnavailable: the model embeds nothing any more.
        """
        refusals: dict[int, Refusal] = {}
        operations: list[Operation] = []
        for message in messages:
            decoded = decode(message)
            if isinstance(decoded, Refusal):
                refusals[message.seq] = decoded
            else:
                operations.append(decoded)
        vectors = await self._embed([one for one in operations if isinstance(one, PutEvent)], refusals)
        return Prepared(messages, operations, vectors, refusals)

    async def commit(self, prepared: Prepared) -> dict[int, Refusal]:
        """Store what was prepared, in the order of the log; what is refused, by sequence, safely dead-lettered.

        Raises:
            Fault: the store or the bus failed; nothing is lost, and everything may be applied again.
        """
        refusals = dict(prepared.refusals)
        await self._refuse_beyond_the_cap(prepared.operations, refusals)
        by_seq = {message.seq: message for message in prepared.messages}
        for seq, refusal in sorted(refusals.items()):
            await self._dead_letters.put(by_seq[seq], refusal)
            log.warning("dead_letter", seq=seq, reason=str(refusal.reason), detail=refusal.detail)
        await self._store_all([one for one in prepared.operations if one.seq not in refusals], prepared.vectors)
        return refusals

    async def _refuse_beyond_the_cap(self, operations: Sequence[Operation], refusals: dict[int, Refusal]) -> None:
        """Refuse what would begin a collection too many: an event, or an outcome that comes before any event."""
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

    async def _embed(self, events: Sequence[PutEvent], refusals: dict[int, Refusal]) -> dict[int, Vector]:
        """The displaced vector of each event, by sequence; each distinct text is embedded once."""
        texts = list(dict.fromkeys(one.event.text for one in events))
        if not texts:
            return {}
        try:
            plain = await self._embedding.of_events(texts)
        except Exception as error:  # noqa: BLE001 -- whatever the runtime raises, only some texts may be to blame
            log.warning("embedding_failed", texts=len(texts), error=type(error).__name__)
            plain = await self._embed_one_by_one(texts)
        vectors: dict[int, Vector] = {}
        for one in events:
            if one.event.text in plain:
                vectors[one.seq] = displace(plain[one.event.text], one.event.id)
            else:
                refusals[one.seq] = Refusal(DeadReason.UNPROCESSABLE, "the model cannot embed this text")
        return vectors

    async def _embed_one_by_one(self, texts: Sequence[str]) -> dict[str, Vector]:
        plain: dict[str, Vector] = {}
        for text in texts:
            try:
                plain |= await self._embedding.of_events([text])
            except Exception as error:  # noqa: BLE001 -- as above
                await self._probe_model(error)
        return plain

    async def _probe_model(self, cause: Exception) -> None:
        # A model that cannot embed anything is at fault itself: no text may be blamed for it.
        try:
            await self._embedding.anew(_PROBE)
        except Exception as error:  # noqa: BLE001 -- as above
            raise ModelUnavailable(f"the model embeds nothing any more: {type(error).__name__}") from cause

    async def _store_all(self, operations: Sequence[Operation], vectors: Mapping[int, Vector]) -> None:
        # Deletions divide the batch: what came before one is stored before it is applied.
        for is_deletion, run in groupby(operations, key=lambda one: isinstance(one, Delete)):
            part = list(run)
            if is_deletion:
                for one in part:
                    if isinstance(one, Delete):
                        await self._delete(one)
            else:
                for collection in dict.fromkeys(one.collection for one in part):
                    puts = [one for one in part if one.collection == collection and not isinstance(one, Delete)]
                    await self._put(collection, puts, vectors)

    async def _put(
        self, collection: str, operations: Sequence[PutEvent | PutOutcome], vectors: Mapping[int, Vector]
    ) -> None:
        ids = list(
            dict.fromkeys(one.event.id if isinstance(one, PutEvent) else one.outcome.event_id for one in operations)
        )

        def read_fold_write() -> None:
            rows = self._store.rows(collection, ids)
            outcomes = self._store.outcomes(collection, ids)
            self._store.write(collection, fold(operations, rows, outcomes, vectors))

        await self._workers.write(read_fold_write)

    async def _delete(self, deletion: Delete) -> None:
        if deletion.ids is None:
            # The log first: were the rows removed first and the process killed, nobody would know what to erase.
            await self._source.purge(
                [event_subject(deletion.collection, ">"), outcome_subject(deletion.collection)], deletion.seq
            )
            count = await self._workers.write(self._store.remove_before, deletion.collection, deletion.seq)
            self._embedding.cache.clear()
            before = self._removed.get(deletion.seq)
            self._note(deletion.seq, count + (before if isinstance(before, int) else 0))
            return
        await self._delete_ids(deletion, deletion.ids)

    async def _delete_ids(self, deletion: Delete, ids: Sequence[str]) -> None:
        rows = await self._workers.write(self._store.rows, deletion.collection, ids)
        outcomes = await self._workers.write(self._store.outcomes, deletion.collection, ids)
        held = {seq for row in rows.values() for seq in row.seqs}
        held |= {seq for record in outcomes.values() for seq in record.seqs}
        await self._source.erase(sorted(seq for seq in held if seq < deletion.seq))
        # What is newer than the deletion stays: the log may be applied anew from before it.
        events = [one for one, row in rows.items() if row.seq < deletion.seq]
        decided = [one for one, record in outcomes.items() if record.seq < deletion.seq]
        bereft: dict[str, OutcomeRecord | None] = {one: None for one in decided if one in rows and one not in events}
        # Noted before: where the removal breaks off, the next attempt finds less to remove, but no less is gone.
        before = self._removed.get(deletion.seq)
        gone = {*events, *(before if isinstance(before, list) else ())}
        self._note(deletion.seq, [one for one in ids if one in gone])
        await self._workers.write(self._store.remove, deletion.collection, events, decided)
        if bereft:
            await self._workers.write(self._store.write, deletion.collection, Writes(joined=bereft))

    def _note(self, seq: int, removed: list[str] | int) -> None:
        self._removed[seq] = removed
        if len(self._removed) > _REMEMBERED_DELETIONS:
            self._removed.popitem(last=False)

    def removed_by(self, seq: int) -> list[str] | int | None:
        """Which events the deletion with this sequence removed (their ids, or how many), once it is applied."""
        return self._removed.get(seq)
