"""Digests of what Chroma stores for some ids, unparsed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from precedent_indexer.domain.row_digest import StoredDigests, stored_event, stored_outcome


def read_digests(events: Any, companion: Any, ids: Sequence[str]) -> dict[str, StoredDigests]:  # noqa: ANN401 -- Chroma's collections
    """Digests of those of `ids` that have a row or an outcome; a collection that does not exist is None."""
    kept = {}
    if companion is not None:
        got = companion.get(ids=list(ids), include=["metadatas"])
        kept = {
            event_id: stored_outcome(metadata or {})
            for event_id, metadata in zip(got["ids"], got["metadatas"], strict=True)
        }
    found = {event_id: StoredDigests(kept=outcome) for event_id, outcome in kept.items()}
    if events is None:
        return found
    got = events.get(ids=list(ids), include=["metadatas", "documents"])
    having = _having_vectors(events, got["ids"])
    for event_id, metadata, document in zip(got["ids"], got["metadatas"], got["documents"], strict=True):
        found[event_id] = StoredDigests(
            event=stored_event(metadata or {}, document),
            shown=stored_outcome(metadata or {}),
            kept=kept.get(event_id),
            has_vector=event_id in having,
        )
    return found


def _having_vectors(events: Any, ids: Sequence[str]) -> set[str]:  # noqa: ANN401 -- as above
    """Those of `ids` whose vector can be read: one unreadable vector fails a whole read, so reads are bisected."""
    if not ids:
        return set()
    try:
        got = events.get(ids=list(ids), include=["embeddings"])
    except Exception:  # noqa: BLE001 -- Chroma raises many kinds of errors over a row without its vector
        if len(ids) == 1:
            return set()
        half = len(ids) // 2
        return _having_vectors(events, ids[:half]) | _having_vectors(events, ids[half:])
    return {
        event_id
        for event_id, vector in zip(got["ids"], got["embeddings"], strict=True)
        if vector is not None and np.isfinite(vector).all() and np.any(vector)
    }
