"""Names on disk: in the directory of the index, and in the directory of each generation."""

from typing import Final

# In the directory of the index.
CURRENT: Final = "CURRENT"
"""File that names the generation in use."""
GENERATION_PREFIX: Final = "generation-"
"""Start of the name of every generation's directory; a number follows."""

# In the directory of a generation.
CRASH_JOURNAL: Final = "in-hand.json"
"""Which messages are being processed: it survives a crash."""
DELETED_SINCE: Final = "deleted-since"
"""Time of the oldest deletion whose text may still be in the store's files."""
INHERITED_VECTORS: Final = "inherited-vectors.sqlite"
"""Vectors of the generation before, until this one has read the log."""
MODEL_FILES: Final = "model"
"""Directory with the model that made the vectors: the generation can answer after another model is installed."""
UNFINISHED: Final = "unfinished.json"
"""Identity of the generation that a rebuild is filling; absent once it is in use."""
VECTORS: Final = "vectors.sqlite"
"""Vectors that were computed for the texts of the generation."""


def generation_number(name: str) -> int:
    """The number in the name of a generation, such as 7 in `generation-000007`; 0 if it has none."""
    digits = name.removeprefix(GENERATION_PREFIX).partition("-")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
