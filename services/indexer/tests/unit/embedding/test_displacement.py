"""The displacement that keeps equal texts apart."""

import numpy as np

from fakes.making import unit
from precedent_indexer.embedding.displacement import STEP, displace

IDS = [f"event-{n}" for n in range(150)]


def test_an_id_always_moves_alike() -> None:
    """The same vector and id give the same bits, and the vector given is left alone."""
    given = unit(1)
    before = given.copy()
    np.testing.assert_array_equal(displace(given, "a"), displace(given, "a"))
    np.testing.assert_array_equal(given, before)
    assert displace(given, "a").dtype == np.float32


def test_every_id_moves_elsewhere() -> None:
    """Equal vectors end up apart from each other by about the length of two steps, for any two ids."""
    moved = np.stack([displace(unit(1), one) for one in IDS]).astype(np.float64)
    gaps = np.linalg.norm(moved[:, None] - moved[None, :], axis=2) + np.eye(len(IDS))
    assert gaps.min() > STEP


def test_a_similarity_hardly_notices() -> None:
    """The cosine to any vector changes by less than 1e-6 to itself, and length stays one."""
    for seed, one in enumerate(IDS):
        plain = unit(seed)
        moved = displace(plain, one)
        assert abs(np.linalg.norm(moved.astype(np.float64)) - 1) < 1e-6
        cosine = float(plain.astype(np.float64) @ moved.astype(np.float64)) / float(
            np.linalg.norm(plain.astype(np.float64)) * np.linalg.norm(moved.astype(np.float64))
        )
        assert 1 - cosine < 1e-6
