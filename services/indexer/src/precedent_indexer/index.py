"""Which generation of the index is used, and whether it may be: the checks of a start.

An index that is lost, broken, of another log, of another model or ahead of its log is put aside and begun anew;
the log has everything to fill it again.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from precedent_indexer.errors import IndexBroken
from precedent_indexer.generations import IndexDirectory
from precedent_indexer.model import ModelInfo
from precedent_indexer.ports import Identity, LogState, VectorStore
from precedent_indexer.records import INDEX_FORMAT
from precedent_schemas.subjects import STANDING_COLLECTIONS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedIndex:
    """An index that fits the log and the model; `is_new` when it was begun in this start."""

    store: VectorStore
    identity: Identity
    is_new: bool


def open_index(
    directory: IndexDirectory,
    open_store: Callable[[Path], VectorStore],
    log_state: LogState,
    model: ModelInfo,
) -> OpenedIndex:
    """The index in `directory`, begun anew where the one that is there does not fit."""
    current = directory.current()
    if current is None:
        log.info("index_begun", reason="there is none yet", directory=str(directory.path))
        return _begin(directory, open_store, log_state, model)
    try:
        store = open_store(current)
        identity = store.identity()
    except IndexBroken as error:
        log.warning("index_rebuilt", reason=str(error), generation=current.name)
        return _begin(directory, open_store, log_state, model)
    reason = _misfit(identity, log_state, model)
    if reason is not None or identity is None:
        store.close()
        log.warning("index_rebuilt", reason=reason, generation=current.name)
        return _begin(directory, open_store, log_state, model)
    directory.drop_others(current)
    return OpenedIndex(store, identity, is_new=False)


def misfit(identity: Identity, log_state: LogState) -> str | None:
    """Why an index cannot be a view of this log; None when it can."""
    if identity.stream_created != log_state.created:
        return (
            f"it belongs to the log created at {identity.stream_created}, this one was created at {log_state.created}"
        )
    if identity.watermark > log_state.last_seq:
        return f"it has read up to {identity.watermark}, but the log ends at {log_state.last_seq}"
    return None


def _misfit(identity: Identity | None, log_state: LogState, model: ModelInfo) -> str | None:
    """Why an index cannot be a view of this log by this model; None when it can."""
    if identity is None:
        return "it does not say what it is"
    if identity.index_format != INDEX_FORMAT:
        return f"its format is {identity.index_format}, this version writes {INDEX_FORMAT}"
    reason = misfit(identity, log_state)
    if reason is None and identity.fingerprint != model.fingerprint:
        reason = f"its vectors are of model {identity.fingerprint}, this is {model.fingerprint}"
    return reason


def _begin(
    directory: IndexDirectory, open_store: Callable[[Path], VectorStore], log_state: LogState, model: ModelInfo
) -> OpenedIndex:
    generation = directory.new()
    store = open_store(generation)
    identity = Identity(
        uuid=uuid.uuid4().hex,
        stream_created=log_state.created,
        fingerprint=model.fingerprint,
        watermark=0,
        index_format=INDEX_FORMAT,
    )
    for collection in STANDING_COLLECTIONS:
        store.create(collection)
    store.set_identity(identity)
    directory.switch(generation)
    directory.drop_others(generation)
    return OpenedIndex(store, identity, is_new=True)


def with_watermark(identity: Identity, seq: int) -> Identity:
    """`identity` of the same index, further on in the log."""
    return replace(identity, watermark=seq)
