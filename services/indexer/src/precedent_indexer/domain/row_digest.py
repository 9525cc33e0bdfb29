"""What a row says in a few bytes, so that the log and the index can be compared without keeping either.

An imprint is taken of everything that is stored and never parses it: whatever was changed from outside, in whatever
way, shows itself as another imprint.
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
"""Among millions of events, two different ones with equal digests are not to be expected."""
_OUTCOME_KEYS: Final = frozenset(joined_metadata(None))
_SEQS: Final = "seqs"
_OUTCOME_SEQS: Final = "outcome_seqs"


@dataclass(frozen=True, slots=True)
class RowDigest:
    """Of an event or an outcome: its sequence, all sequences that its id ever had, and a digest of all else."""

    seq: int
    seqs: tuple[int, ...]
    digest: bytes

    def covers(self, other: "RowDigest") -> bool:
        """Whether this, as stored, is `other`; it may know of more sequences, which the log no longer has."""
        return self.digest == other.digest and self.seq == other.seq and set(self.seqs) >= set(other.seqs)


@dataclass(frozen=True, slots=True)
class StoredDigests:
    """What the index has of one id.

    Attributes:
        event: its row.
        shown: the outcome that the row shows.
        kept: the outcome in the companion.
        has_vector: whether the row can be found by similarity.
    """

    event: RowDigest | None = None
    shown: RowDigest | None = None
    kept: RowDigest | None = None
    has_vector: bool = False


def of_event(row: Row) -> RowDigest:
    """What the imprint of a row's event should be, whatever its outcome."""
    return stored_event(row_metadata(row), row_document(row))


def of_outcome(record: OutcomeRecord) -> tuple[RowDigest, RowDigest]:
    """What the imprints of an outcome should be: in its event's row, and in the companion."""
    return _outcome(joined_metadata(record)), _outcome(outcome_metadata(record))


def stored_event(metadata: Mapping[str, Any], document: str | None) -> RowDigest:
    """The imprint of the event in a row as it is stored."""
    said = {key: value for key, value in metadata.items() if key not in _OUTCOME_KEYS and key != _SEQS}
    return RowDigest(_seq(metadata.get("seq")), _seqs(metadata.get(_SEQS)), _digest([said, document]))


def stored_outcome(metadata: Mapping[str, Any]) -> RowDigest | None:
    """The imprint of the outcome in a row, or in a companion, as it is stored; None where there is none."""
    there = any(metadata.get(key) is not None for key in _OUTCOME_KEYS)
    return _outcome(metadata) if there else None


def _outcome(metadata: Mapping[str, Any]) -> RowDigest:
    said = {key: metadata.get(key) for key in _OUTCOME_KEYS if key != _OUTCOME_SEQS}
    return RowDigest(_seq(metadata.get("outcome_seq")), _seqs(metadata.get(_OUTCOME_SEQS)), _digest([said]))


def _digest(parts: list[Any]) -> bytes:
    text = json.dumps([_canonical(one) for one in parts], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()


def _canonical(value: Any) -> Any:  # noqa: ANN401 -- whatever a store holds
    """Absent and null alike, and lists in one order: a store may give them back in another."""
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
