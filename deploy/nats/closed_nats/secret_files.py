"""Files that only their owner may read."""

import os
from pathlib import Path


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, never readable by others in between.

    Raises:
        FileExistsError: a secret that is there is never written over.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def make_secret_directory(path: Path) -> None:
    """A directory that only its owner may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
