"""Bytes that cannot be mistaken for anything else, and where in files they are found.

The log is compressed. What compresses it (S2) copies what repeats and writes everything else as it is, so that random
characters stand in its files as they were; one text in a few hundred is cut where a part of a file ends. So a text is
looked for in windows, and a test shows that it is found before it shows that it is gone.
"""

from __future__ import annotations

import secrets
import string
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ALPHABET = string.ascii_letters + string.digits
_TEXT_CHARS = 64
_TEXT_WINDOW = 16
_VECTOR_WINDOW = 64
_MODEL = "model"
"""The directory of a generation that holds nothing but the files of the model, a hundred megabytes of them."""


class Traces:
    """What is looked for, by names of our own."""

    def __init__(self) -> None:
        self._windows: dict[str, list[bytes]] = {}

    def text(self, name: str) -> str:
        """A random text to be looked for."""
        text = "".join(secrets.choice(_ALPHABET) for _ in range(_TEXT_CHARS))
        self._look_for(name, text.encode(), _TEXT_WINDOW)
        return text

    def vector(self, name: str, found: bytes) -> None:
        """Have a vector looked for, by its float32 bytes."""
        self._look_for(name, found, _VECTOR_WINDOW)

    def names(self, beginning: str) -> set[str]:
        """The names that begin so."""
        return {name for name in self._windows if name.startswith(beginning)}

    def within(self, folder: Path, pattern: str = "*") -> set[str]:
        """The names of what is found in the files of a folder."""
        return {name for names in self.where(folder, pattern).values() for name in names}

    def where(self, folder: Path, pattern: str = "*") -> dict[Path, list[str]]:
        """The names of what is found, by file."""
        paths = [one for one in folder.rglob(pattern) if one.is_file() and _MODEL not in one.parts]
        found = {path: self._within(path) for path in paths}
        return {path: names for path, names in found.items() if names}

    def leftovers(self, folder: Path, expected: set[str]) -> dict[str, list[str]]:
        """What is found beyond what is expected, by file: for whoever has to find out why."""
        beyond = {str(path): sorted(set(names) - expected) for path, names in self.where(folder).items()}
        return {path: names for path, names in beyond.items() if names}

    def _within(self, path: Path) -> list[str]:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []  # Servers tidy up meanwhile.
        return [name for name, windows in self._windows.items() if any(window in content for window in windows)]

    def _look_for(self, name: str, content: bytes, window: int) -> None:
        assert name not in self._windows
        starts = range(0, len(content) - window + 1, window)
        self._windows[name] = [content[start : start + window] for start in starts]
