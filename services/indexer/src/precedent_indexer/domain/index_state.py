"""Values of the index: vectors, the model that made them, the index's identity, and what a batch changes in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from precedent_indexer.domain.rows import OutcomeRecord, Row

Vectors = npt.NDArray[np.float32]
"""(n, 384), rows of length one."""
Vector = npt.NDArray[np.float32]
"""(384,), length one."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model made a vector.

    Attributes:
        name: The published name.
        fingerprint: Equal exactly when the same text gets the same vector, whatever machine or runtime computes it.
        dimensions: Length of a vector.
        runtime: What computes it here, for people to read; no part of the identity.
    """

    name: str
    fingerprint: str
    dimensions: int
    runtime: str


@dataclass(frozen=True, slots=True)
class Where:
    """A filter in the form of the store; made by `api/filter` and by the store itself.

    Attributes:
        metadata: a clause over the metadata; None matches every row.
        contains: a substring of the text; None matches every row.
    """

    metadata: Mapping[str, Any] | None = None
    contains: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Identity of an index, stored with it.

    Attributes:
        uuid: name of the index; the durable consumer has it in its metadata.
        stream_created: creation time of the log that the index is a view of, as the server writes it.
        fingerprint: fingerprint of the model that made the vectors.
        watermark: every message up to this sequence is applied; never ahead of what is stored.
        index_format: version of the row layout; another version is rebuilt.
        mark_seq: sequence of one message that was read from the log, 0 if none is known. It shows whether the log
            is still the one that was read.
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
    """Changes of a batch in one collection; applying them twice has the same effect as once."""

    rows: dict[str, tuple[Row, Vector]] = field(default_factory=dict)
    outcomes: dict[str, OutcomeRecord] = field(default_factory=dict)
    joined: dict[str, OutcomeRecord | None] = field(default_factory=dict)
    """Outcomes to add to rows that exist and are not in `rows`; None removes the outcome from the row."""
    seqs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """New lists of sequences for rows that otherwise do not change."""
