"""The nearest events under a filter: the graph first, then a scan of everything that passes."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from precedent_indexer.api.filter import CompiledFilter
from precedent_indexer.domain.index_state import Vector, Vectors
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.domain.rows import Row

_LOOK_AT: Final = 512
"""Nearest events that are looked at without a filter first: quick, and enough for a filter that lets much pass."""
_SAMPLE: Final = 48
"""The first of these; where so few of them pass that the rest would not do, the rest is not read."""
_SCAN: Final = 1_000
"""Events that pass the store's part of a filter, up to which all of them are compared: exact, and no slower."""

_LEAST_PART: Final = 32

Near = list[tuple[Row, float]]
"""Rows and their cosine similarity, best first."""


def find_nearest(store: VectorStore, collection: str, vector: Vector, n: int, wanted: CompiledFilter | None) -> Near:
    """The `n` nearest rows that pass the filter; blocking.

    First without the filter, many more than asked for: what passes of these is right, since whatever else passes
    is farther away. Where too few pass, the store narrows. What it narrows to is compared as a whole where it is
    little, since a graph of which little is allowed loses its way among equal vectors; otherwise the graph is
    asked, and where even that gives too few, everything is compared after all.
    """
    if wanted is None:
        return store.nearest(collection, vector, n, None)
    if n <= _LOOK_AT:
        near = store.nearest_ids(collection, vector, _LOOK_AT, None)
        everything = len(near) < _LOOK_AT and store.count(collection) <= len(near)
        found = _passing(store, collection, near[:_SAMPLE], n, wanted)
        if everything or len(found) * _LOOK_AT >= n * _SAMPLE:
            found += _passing(store, collection, near[_SAMPLE:], n - len(found), wanted)
        if everything or len(found) == n:
            return found
    if wanted.where is not None:
        ids, vectors = store.vectors(collection, wanted.where, _SCAN + 1)
        if len(ids) <= _SCAN:
            return _passing(store, collection, _compared(ids, vectors, vector), n, wanted)
        found = _passing(store, collection, store.nearest_ids(collection, vector, 2 * n, wanted.where), n, wanted)
        if len(found) == n:
            return found
    ids, vectors = store.vectors(collection, wanted.where, None)
    return _passing(store, collection, _compared(ids, vectors, vector), n, wanted)


def _passing(
    store: VectorStore, collection: str, near: Sequence[tuple[str, float]], n: int, wanted: CompiledFilter
) -> Near:
    """The first `n` of `near` that pass; rows are read in parts, since the first few often suffice."""
    found: Near = []
    if n <= 0:
        return found
    part = max(_LEAST_PART, 2 * n)
    for start in range(0, len(near), part):
        some = near[start : start + part]
        rows = store.rows(collection, [event_id for event_id, _ in some])
        found += [(rows[one], similarity) for one, similarity in some if one in rows and wanted.matches(rows[one])]
        if len(found) >= n:
            break
    return found[:n]


def _compared(ids: Sequence[str], vectors: Vectors, vector: Vector) -> list[tuple[str, float]]:
    """Every id with its cosine similarity, best first."""
    if not ids:
        return []
    lengths = np.linalg.norm(vectors, axis=1) * float(np.linalg.norm(vector))
    near = np.clip(vectors @ vector / lengths, -1.0, 1.0)
    return [(ids[at], round(float(near[at]), 6)) for at in np.argsort(-near, kind="stable")]
