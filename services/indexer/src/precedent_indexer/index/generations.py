"""Opens and begins generations: the start-up decision which generation is used, or whether a new one is begun.

An index that is lost, broken, of another log or ahead of its log is replaced by a new generation, which is filled from
the log. An index of another model, or of an older readable format, answers until a rebuild has replaced it.
"""

import json
import os
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import structlog

from precedent_indexer.domain.index_state import Identity, ModelInfo
from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.ports import Generations, Log, VectorStore
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.errors import IndexBroken, ResourceShortage, StoreUnavailable
from precedent_indexer.index.deleted_text import DeletedTextMarker
from precedent_indexer.index.directory import carry_files, is_still
from precedent_indexer.index.layout import MODEL_FILES, UNFINISHED
from precedent_indexer.index.log_match import put_back, rewritten, unusable
from precedent_indexer.index.vector_file import VectorFile, inherit, open_vectors
from precedent_schemas.subjects import STANDING_COLLECTIONS

log = structlog.get_logger(__name__)

_RESUMED: Final = "a rebuild was interrupted: it is resumed"


@dataclass(frozen=True, slots=True)
class Generation:
    """An open generation: its store and the files beside it.

    Attributes:
        path: its directory.
        place: `stat` of the directory when the generation was opened.
        is_new: it was begun in this start.
        outdated: why a rebuild should replace it; None if it is up to date.
    """

    path: Path
    store: VectorStore
    identity: Identity
    vectors: VectorFile
    deleted_text: DeletedTextMarker = field(repr=False)
    place: os.stat_result = field(repr=False)
    is_new: bool = False
    outdated: str | None = None

    def is_gone(self) -> bool:
        """Whether its directory was deleted or replaced by another; reads the disk."""
        return not is_still(self.path, self.place)

    def close(self) -> None:
        """Close the store and the files."""
        self.store.close()
        self.vectors.close()


class GenerationStore:
    """Opens the generations of one index, and begins new ones."""

    def __init__(
        self,
        directory: Generations,
        open_store: Callable[[Path], VectorStore],
        model: ModelInfo,
        model_files: Path,
    ) -> None:
        """`model` makes the vectors of every new generation; its files are copied into the generation."""
        self.directory = directory
        self._open_store = open_store
        self._model = model
        self._model_files = model_files
        self._looked_at: VectorStore | None = None

    def look(self, broken: str | None = None) -> Identity | None:
        """Identity of the generation in use, before it is opened; None if there is none or it cannot be read.

        Args:
            broken: what a probe found wrong with the generation.
        """
        current = self.directory.current()
        if current is None or broken is not None:
            return None
        try:
            # Opening a large index takes seconds: `open` reuses the store.
            self._looked_at = self._open_store(current)
            return self._looked_at.identity()
        except ResourceShortage:
            raise
        except (IndexBroken, StoreUnavailable):
            return None

    def correct(self, identity: Identity) -> None:
        """Store a corrected identity in the generation that `look` has opened."""
        if self._looked_at is not None:
            self._looked_at.set_identity(identity)

    def open(self, log_state: LogState, broken: str | None = None, orphan: str | None = None) -> Generation:
        """Open the generation in use, or begin a new one if it may not be used.

        Args:
            log_state: state of the log that the index must be a view of.
            broken: what a probe found wrong with the generation in use.
            orphan: UUID of the index that the durable consumer feeds and no running indexer has. A new generation
                takes this UUID, so that a copy of the lost index can still be restored.
        """
        current = self.directory.current()
        if current is None:
            if self.directory.is_damaged():
                log.warning("index_rebuilt", reason="CURRENT is damaged: it names no generation that is there")
            else:
                log.info("index_begun", reason="there is none yet", directory=str(self.directory.path))
            return self.begin(log_state, orphan)
        if broken is not None:
            log.warning("index_rebuilt", reason=broken, generation=current.name)
            return self.begin(log_state, orphan)
        try:
            store, self._looked_at = self._looked_at or self._open_store(current), None
            identity = store.identity()
        except ResourceShortage:
            raise
        except (IndexBroken, StoreUnavailable) as error:
            log.warning("index_rebuilt", reason=str(error), generation=current.name)
            return self.begin(log_state, orphan)
        reason = unusable(identity, log_state)
        if reason is not None or identity is None:
            store.close()
            log.warning("index_rebuilt", reason=reason, generation=current.name)
            return self.begin(log_state, orphan)
        if identity.watermark == 0 and orphan is not None and orphan != identity.uuid:
            # It has read nothing yet, so it may take the UUID as a new one would.
            identity = replace(identity, uuid=orphan)
            store.set_identity(identity)
        unfinished = self.unfinished(identity)
        self.directory.drop_others(current, *unfinished)
        outdated = self._outdated(identity) or (_RESUMED if unfinished else None)
        return self._opened(current, store, identity, outdated=outdated)

    def begin(self, log_state: LogState, index_uuid: str | None = None) -> Generation:
        """Begin a new generation and put it into use; the others are removed, except for the vectors of the last one.

        Args:
            log_state: state of the log that the index is a view of.
            index_uuid: UUID of the index that it continues; None for a new UUID.
        """
        before = self.directory.current() or next(reversed(self.directory.all()), None)
        generation = self.directory.new()
        identity = Identity(
            uuid=index_uuid or uuid.uuid4().hex,
            stream_created=log_state.created,
            fingerprint=self._model.fingerprint,
            watermark=0,
            index_format=INDEX_FORMAT,
        )
        store = self._made(generation, identity)
        if before is not None:
            inherit(generation, before)
        begun = self._opened(generation, store, identity)
        self.directory.switch(generation)
        self.directory.drop_others(generation)
        return replace(begun, is_new=True)

    def begin_next(self, current: Generation) -> Generation:
        """Begin the generation that a rebuild fills, or resume one that an earlier rebuild left half-filled.

        It keeps the UUID of the index, and takes vectors from `current` if their model is the same.

        Raises:
            StoreUnavailable: the generation cannot be created.
        """
        for path in self.unfinished(current.identity):
            resumed = self._resumed(path, current)
            if resumed is not None:
                return resumed
        generation = self.directory.new()
        identity = replace(
            current.identity, fingerprint=self._model.fingerprint, watermark=0, index_format=INDEX_FORMAT
        )
        try:
            (generation / UNFINISHED).write_text(json.dumps(asdict(identity)), encoding="utf-8")
            store = self._made(generation, identity)
        except (OSError, IndexBroken, StoreUnavailable) as error:
            self.directory.drop(generation)
            raise StoreUnavailable(f"a new generation cannot be made: {error}") from error
        return self._opened(generation, store, identity, earlier=current.vectors)

    def finish(self, generation: Generation) -> None:
        """Put a filled generation into use, atomically."""
        generation.vectors.part_with_earlier()
        self.directory.switch(generation.path)
        (generation.path / UNFINISHED).unlink(missing_ok=True)

    def reopen(self, closed: Generation) -> Generation:
        """The same generation with its store opened again.

        Raises:
            IndexBroken: the store cannot be opened.
        """
        return replace(closed, store=self._open_store(closed.path))

    def _made(self, generation: Path, identity: Identity) -> VectorStore:
        try:
            carry_files(self._model_files, generation / MODEL_FILES)
        except OSError as error:
            log.warning("model_not_carried", generation=generation.name, error=error.strerror)
        store = self._open_store(generation)
        for collection in STANDING_COLLECTIONS:
            store.create(collection)
        store.set_identity(identity)
        return store

    def _opened(
        self,
        path: Path,
        store: VectorStore,
        identity: Identity,
        *,
        earlier: VectorFile | None = None,
        outdated: str | None = None,
    ) -> Generation:
        vectors = open_vectors(path, identity.fingerprint, earlier)
        return Generation(path, store, identity, vectors, DeletedTextMarker(path), path.stat(), outdated=outdated)

    def _resumed(self, path: Path, current: Generation) -> Generation | None:
        try:
            store = self._open_store(path)
            identity = store.identity()
        except ResourceShortage:
            raise
        except (IndexBroken, StoreUnavailable) as error:
            log.warning("rebuild_started_over", reason=str(error), generation=path.name)
            self.directory.drop(path)
            return None
        if identity is None or not self._is_next(identity, current.identity):
            store.close()
            self.directory.drop(path)
            return None
        log.info("rebuild_resumed", generation=path.name, watermark=identity.watermark)
        return self._opened(path, store, identity, earlier=current.vectors)

    def unfinished(self, current: Identity) -> list[Path]:
        """The generation that a rebuild of `current` left half-filled: a list of at most one, the last."""
        found: list[Path] = []
        for path in self.directory.all():
            try:
                noted = Identity(**json.loads((path / UNFINISHED).read_text(encoding="utf-8")))
            except (OSError, ValueError, TypeError):
                continue
            if path != self.directory.current() and self._is_next(noted, current):
                found = [path]
        return found

    def _is_next(self, identity: Identity, current: Identity) -> bool:
        """Whether a generation with this identity can replace `current`."""
        wanted = replace(
            current,
            fingerprint=self._model.fingerprint,
            index_format=INDEX_FORMAT,
            watermark=identity.watermark,
            mark_seq=identity.mark_seq,
            mark_at=identity.mark_at,
        )
        return identity == wanted

    def _outdated(self, identity: Identity) -> str | None:
        if identity.index_format != INDEX_FORMAT:
            return f"its format is {identity.index_format}, this version writes {INDEX_FORMAT}"
        if identity.fingerprint != self._model.fingerprint:
            return f"its vectors are of model {identity.fingerprint}, this is {self._model.fingerprint}"
        return None


async def open_index(
    generations: GenerationStore, source: Log, log_state: LogState, broken: str | None, orphan: str | None
) -> Generation:
    """Open the index, or begin it, after a check that the log was not replaced; arguments as `GenerationStore.open`."""
    said = generations.look(broken)
    corrected = await put_back(said, log_state, source) if said is not None else None
    if corrected is not None:
        log.info("log_was_put_back", created=log_state.created, indexed_seq=corrected.watermark)
        generations.correct(corrected)
    index = generations.open(log_state, broken, orphan)
    reason = await rewritten(index.identity, source)
    if reason is None:
        return index
    log.warning("index_rebuilt", reason=reason, generation=index.path.name)
    index.close()
    return generations.begin(log_state, index.identity.uuid)
