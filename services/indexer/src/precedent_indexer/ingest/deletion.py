"""Applies deletions: to the log first, then to the index and everything beside it."""

from collections.abc import Callable, Sequence
from typing import Final

from precedent_indexer.domain.index_state import Writes
from precedent_indexer.domain.operations import Delete
from precedent_indexer.domain.ports import DeadLetters, Log, VectorStore
from precedent_indexer.domain.rows import OutcomeRecord
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.index.deleted_text import DeletedTextMarker
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.vector_file import VectorFile
from precedent_indexer.runtime.threads import Workers
from precedent_schemas.subjects import event_subject, outcome_subject

_ERASE_PART: Final = 512
"""Messages erased between two signs of life: a few seconds, at milliseconds for each."""


class Deleter:
    """Applies deletions to the log and to one index."""

    def __init__(
        self,
        *,
        store: VectorStore,
        embedding: Embedding,
        source: Log,
        dead_letters: DeadLetters,
        workers: Workers,
        vectors: VectorFile,
        deleted_text: DeletedTextMarker,
        deletion_results: DeletionResults,
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._source = source
        self._dead_letters = dead_letters
        self._workers = workers
        self._vectors = vectors
        self._deleted_text = deleted_text
        self._deletion_results = deletion_results

    async def delete(self, deletion: Delete, alive: Callable[[], None]) -> None:
        """Apply a deletion; applied again, it removes what is left. `alive` is called between its parts.

        Raises:
            Fault: the store or the log failed; the deletion may be applied again.
        """
        if deletion.ids is None:
            # The log first: if the process were killed after the rows were removed, it would not know what to erase.
            await self._source.purge(
                [event_subject(deletion.collection, ">"), outcome_subject(deletion.collection)], deletion.seq
            )
            self._embedding.cache.clear()
            await self._workers.write(self._forget_all, deletion.collection)
            count = await self._workers.write(self._store.remove_before, deletion.collection, deletion.seq)
            before = self._deletion_results.of(deletion.seq)
            self._deletion_results.note(deletion.seq, count + (before if isinstance(before, int) else 0))
            return
        await self._delete_ids(deletion, deletion.ids, alive)

    async def _delete_ids(self, deletion: Delete, ids: Sequence[str], alive: Callable[[], None]) -> None:
        rows = await self._workers.write(self._store.rows, deletion.collection, ids)
        outcomes = await self._workers.write(self._store.outcomes, deletion.collection, ids)
        held = {seq for row in rows.values() for seq in row.seqs}
        held |= {seq for record in outcomes.values() for seq in record.seqs}
        # A refused message has the bytes of an event too, in the log and in its dead letter.
        await self._dead_letters.refresh()
        refused = [seq for seq in self._dead_letters.about(deletion.collection, ids) if seq < deletion.seq]
        to_erase = sorted(seq for seq in {*held, *refused} if seq < deletion.seq)
        for start in range(0, len(to_erase), _ERASE_PART):
            await self._source.erase(to_erase[start : start + _ERASE_PART])
            alive()
        for seq in refused:
            await self._dead_letters.remove(seq)
        # Later revisions stay: the deletion may be applied again after them.
        events = [one for one, row in rows.items() if row.seq < deletion.seq]
        decided = [one for one, record in outcomes.items() if record.seq < deletion.seq]
        orphaned: dict[str, OutcomeRecord | None] = {one: None for one in decided if one in rows and one not in events}
        # Recorded before the removal: if it is interrupted, the next attempt finds less, and adds to the record.
        before = self._deletion_results.of(deletion.seq)
        gone = {*events, *(before if isinstance(before, list) else ())}
        self._deletion_results.note(deletion.seq, [one for one in ids if one in gone])
        texts = [rows[one].event.text for one in events]
        self._embedding.cache.forget(texts)
        # Before the rows are removed, since they say which texts to forget.
        if events or decided:
            await self._workers.write(self._forget, deletion.collection, texts)
        await self._workers.write(self._store.remove, deletion.collection, events, decided)
        if orphaned:
            await self._workers.write(self._store.write, deletion.collection, Writes(joined=orphaned))

    def _forget(self, collection: str, texts: Sequence[str]) -> None:
        self._deleted_text.note()
        self._vectors.forget(collection, texts)

    def _forget_all(self, collection: str) -> None:
        if self._store.count(collection):
            self._deleted_text.note()
        self._vectors.forget_all(collection)
