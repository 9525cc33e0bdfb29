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
    """What the store narrows by, in its own words; only `filters` and the store itself make them.

    Attributes:
        metadata: a clause over the metadata; None for all.
        contains: a piece of the text; None for all.
    """

    metadata: Mapping[str, Any] | None = None
    contains: str | None = None


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
