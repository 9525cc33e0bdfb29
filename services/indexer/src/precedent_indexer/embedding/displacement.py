"""Moves equal vectors apart.

A nearest-neighbour graph that holds many equal vectors links them to each other and loses its way to everything
else. Each stored vector is therefore moved by a tiny deterministic step that depends on the event's id alone:
the same on every rebuild, another for every event, too small to be seen in a similarity.
"""

import hashlib

import numpy as np

from precedent_indexer.domain.index_state import Vector

STEP = 1e-3
"""Length of the step; the cosine between a vector and its displaced one differs from 1 by 5e-7."""


def displace(vector: Vector, event_id: str) -> Vector:
    """`vector` moved by the step of `event_id`, length one again."""
    seed = int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:8], "big")
    noise = np.random.default_rng(seed).standard_normal(vector.shape[0])
    moved = vector.astype(np.float64) + noise * (STEP / np.linalg.norm(noise))
    displaced: Vector = (moved / np.linalg.norm(moved)).astype(np.float32)
    return displaced
