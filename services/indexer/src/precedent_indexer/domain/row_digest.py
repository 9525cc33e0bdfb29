"""Digests of stored rows: a few bytes each, so that the log and the index can be compared without holding either.

A digest covers everything that is stored, unparsed: any change from outside gives another digest.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from precedent_indexer.domain.rows import (
    OutcomeRecord,
    Row,
    joined_metadata,
    outcome_metadata,
    read_seqs,
    row_document,
    row_metadata,
)

_DIGEST_BYTES: Final = 12
"""12 bytes: among millions of events, no two different ones are expected to have equal digests."""
_OUTCOME_KEYS: Final = frozenset(joined_metadata(None))
_SEQS: Final = "seqs"
_OUTCOME_SEQS: Final = "outcome_seqs"


@dataclass(frozen=True, slots=True)
class RowDigest:
    """Sequence of an event or an outcome, all sequences that its id ever had, and a digest of everything else."""

    seq: int
    seqs: tuple[int, ...]
    digest: bytes

    def covers(self, other: "RowDigest") -> bool:
        """Whether the stored digest equals `other`; it may have more sequences, which the log has dropped."""
        return self.digest == other.digest and self.seq == other.seq and set(self.seqs) >= set(other.seqs)


@dataclass(frozen=True, slots=True)
class StoredDigests:
    """Digests of what the index stores for one id.

    Attributes:
        event: digest of its row.
        shown: digest of the outcome in the row.
        kept: digest of the outcome in the collection of outcomes.
        has_vector: whether the row has a vector, so that a search can find it.
    """

    event: RowDigest | None = None
    shown: RowDigest | None = None
    kept: RowDigest | None = None
    has_vector: bool = False


def of_event(row: Row) -> RowDigest:
    """Expected digest of the event in a row, without its outcome."""
    return stored_event(row_metadata(row), row_document(row))


def of_outcome(record: OutcomeRecord) -> tuple[RowDigest, RowDigest]:
    """Expected digests of an outcome: in its event's row, and in the collection of outcomes."""
    return _outcome(joined_metadata(record)), _outcome(outcome_metadata(record))


def stored_event(metadata: Mapping[str, Any], document: str | None) -> RowDigest:
    """Digest of the event in a stored row."""
    said = {key: value for key, value in metadata.items() if key not in _OUTCOME_KEYS and key != _SEQS}
    return RowDigest(_seq(metadata.get("seq")), _seqs(metadata.get(_SEQS)), _digest([said, document]))


def stored_outcome(metadata: Mapping[str, Any]) -> RowDigest | None:
    """Digest of the outcome in a stored row, or in the collection of outcomes; None if there is none."""
    there = any(metadata.get(key) is not None for key in _OUTCOME_KEYS)
    return _outcome(metadata) if there else None


def _outcome(metadata: Mapping[str, Any]) -> RowDigest:
    said = {key: metadata.get(key) for key in _OUTCOME_KEYS if key != _OUTCOME_SEQS}
    return RowDigest(_seq(metadata.get("outcome_seq")), _seqs(metadata.get(_OUTCOME_SEQS)), _digest([said]))


def _digest(parts: list[Any]) -> bytes:
    text = json.dumps([_canonical(one) for one in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _canonical(value: Any) -> Any:  # noqa: ANN401 -- any value of a store
    """Drops null values and sorts lists: a store may return lists in another order."""
    if isinstance(value, Mapping):
        return {key: _canonical(one) for key, one in value.items() if one is not None}
    return sorted(value, key=repr) if isinstance(value, list) else value


def _seq(value: object) -> int:
    return value if isinstance(value, int) else 0


def _seqs(value: object) -> tuple[int, ...]:
    try:
        return read_seqs(value) if isinstance(value, str) else ()
    except ValueError:
        return ()
