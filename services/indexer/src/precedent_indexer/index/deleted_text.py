"""The time since which the files of a generation may hold deleted text.

The store does not overwrite: deleted text can be read in its files until the generation is replaced.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

from precedent_indexer.errors import StoreUnavailable
from precedent_indexer.index.layout import DELETED_SINCE


class DeletedTextMarker:
    """Time of the oldest deletion, in the file `deleted-since` of the generation."""

    def __init__(self, generation: Path) -> None:
        self._file = generation / DELETED_SINCE
        self._noted = self._file.exists()

    def note(self) -> None:
        """Record that a deletion is about to begin; durable on return. Only the first deletion counts.

        Raises:
            StoreUnavailable: the file cannot be written.
        """
        if self._noted:
            return
        try:
            with self._file.open("w", encoding="utf-8") as file:
                file.write(datetime.now(UTC).isoformat() + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StoreUnavailable(f"{self._file} cannot be written: {error.strerror}") from error
        self._noted = True

    def age_s(self) -> float | None:
        """Seconds since the oldest deletion; None if there was none.

        If the time cannot be read, or lies in the future because the clock was set back, the epoch is taken instead.
        """
        if not self._noted:
            return None
        now = datetime.now(UTC)
        try:
            since = datetime.fromisoformat(self._file.read_text(encoding="utf-8").strip())
            age = (now - since).total_seconds()
        except (OSError, ValueError, TypeError):
            age = -1.0
        return age if age >= 0 else now.timestamp()
