"""Whether the log is the one that the index was filled from.

A log that was restored from a backup may have another creation time and the same messages, or other messages up to the
same length. So the index keeps a mark: the sequence of one message that it has read, and when the log stored it.
"""

from dataclasses import replace
from datetime import datetime

from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.ports import Log
from precedent_indexer.domain.rows import READABLE_FORMATS


async def marked(identity: Identity, source: Log, seq: int) -> Identity:
    """`identity` with watermark `seq`, and with the message at `seq` as its mark if the log still has it."""
    reached = replace(identity, watermark=seq)
    stored_at = await _stored_at(source, seq)
    return reached if stored_at is None else replace(reached, mark_seq=seq, mark_at=stored_at)


async def rewritten(identity: Identity, source: Log) -> str | None:
    """Why the log is not the one that the index was filled from; None if the mark matches or is gone."""
    if not identity.mark_seq:
        return None
    stored_at = await _stored_at(source, identity.mark_seq)
    if stored_at in {None, identity.mark_at}:
        return None
    return (
        f"the log has another message at {identity.mark_seq} than what was read there (stored at {stored_at}, not at "
        f"{identity.mark_at}): it was put back from an older backup"
    )


async def put_back(identity: Identity, log_state: LogState, source: Log) -> Identity | None:
    """Identity of an index whose log was recreated from a backup with the mark's message; None if that is not so.

    Its watermark is at most the mark: after the mark, the log may have other messages than those that were read.
    """
    if not identity.mark_seq or identity.stream_created == log_state.created:
        return None
    if identity.watermark > log_state.last_seq or await _stored_at(source, identity.mark_seq) != identity.mark_at:
        return None
    return replace(identity, stream_created=log_state.created, watermark=min(identity.watermark, identity.mark_seq))


async def began_at(log_state: LogState, source: Log) -> datetime | None:
    """When the log stored its first message: before its creation if it was restored; None if the log is empty."""
    found = [message async for message in source.read(log_state.first_seq, log_state.first_seq)]
    return found[0].stored_at if found else None


async def _stored_at(source: Log, seq: int) -> str | None:
    found = [message async for message in source.read(seq, seq)]
    return found[0].stored_at.isoformat() if found else None


def misfit(identity: Identity, log_state: LogState) -> str | None:
    """Why an index cannot be a view of this log; None if it can."""
    if identity.stream_created != log_state.created:
        return (
            f"it belongs to the log created at {identity.stream_created}, this one was created at {log_state.created}"
        )
    if identity.watermark > log_state.last_seq:
        return f"it has read up to {identity.watermark}, but the log ends at {log_state.last_seq}"
    return None


def unusable(identity: Identity | None, log_state: LogState) -> str | None:
    """Why an index may not answer, even until a rebuild; None if it may."""
    if identity is None:
        return "it does not say what it is"
    if identity.index_format not in READABLE_FORMATS:
        return f"its format is {identity.index_format}, this version reads {sorted(READABLE_FORMATS)}"
    return misfit(identity, log_state)


def with_watermark(identity: Identity, seq: int) -> Identity:
    """`identity` with watermark `seq`."""
    return replace(identity, watermark=seq)
