"""What lies beside the store of a generation, for tests that have no directory: a file of vectors, a marker."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from precedent_indexer.domain.index_state import Vector
from precedent_indexer.index.deleted_text import DeletedTextMarker
from precedent_indexer.index.vector_file import VectorFile

NO_MODEL_FILES = Path("there-is-no-model")
"""A directory of model files that does not exist: a generation is begun without them."""


class NoVectors(VectorFile):
    """Keeps no vector: every text is embedded."""

    def __init__(self) -> None:
        """No file."""

    def find(self, collection: str, texts: Sequence[str]) -> dict[str, Vector]:
        """Nothing is known."""
        return {}

    def keep(self, collection: str, vectors: Mapping[str, Vector], superseded: Iterable[str] = ()) -> None:
        """Nothing is kept."""

    def forget(self, collection: str, texts: Iterable[str]) -> None:
        """Nothing is to be forgotten."""

    def forget_all(self, collection: str) -> None:
        """Nothing is to be forgotten."""


class NoMarker(DeletedTextMarker):
    """Marks nothing."""

    def __init__(self) -> None:
        """No file."""

    def note(self) -> None:
        """Nothing is written."""
