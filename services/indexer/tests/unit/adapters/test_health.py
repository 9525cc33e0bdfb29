"""How a store has been: only the same thing failing again and again counts, and a full disk is something else."""

import pytest

from precedent_indexer.adapters.chroma.health import Symptoms


def test_the_same_thing_must_fail_again_and_again() -> None:
    """Another thing that works does not make it right; the thing itself working does."""
    symptoms = Symptoms()
    for _ in range(4):
        symptoms.failed("write a", "broken")
        symptoms.worked("read b", wrote=False)
    assert not symptoms.last(5, 0.0)
    symptoms.failed("write a", "broken")
    assert symptoms.last(5, 0.0)
    assert not symptoms.last(5, 3600.0)
    symptoms.worked("write a", wrote=True)
    assert not symptoms.last(1, 0.0)


@pytest.mark.parametrize("words", ["database or disk is full", "No space left on device (os error 28)"])
def test_a_full_disk_is_remembered_until_the_index_is_replaced(words: str) -> None:
    """Full while nothing can be written; uncertain ever after something could."""
    symptoms = Symptoms()
    assert not symptoms.disk_is_full
    symptoms.failed("write a", words)
    symptoms.worked("read a", wrote=False)
    assert (symptoms.disk_is_full, symptoms.disk_was_full) == (True, False)
    symptoms.worked("write b", wrote=True)
    assert (symptoms.disk_is_full, symptoms.disk_was_full) == (False, True)
    symptoms.failed("write a", words)
    assert (symptoms.disk_is_full, symptoms.disk_was_full) == (True, False)
