"""A disk that can be full, and have room again, while it is used."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

_NO_LIMIT: Final = resource.RLIM_INFINITY


class Disk:
    """A directory on a disk of its own, for as long as the block runs.

    Where this machine lets us mount, it is a small tmpfs, and a full one says ENOSPC. Elsewhere the process that
    writes there is kept from making any file larger, and is told EFBIG.

    Args:
        path: made where it is missing.
        megabytes: the size of the tmpfs.

    Attributes:
        is_mounted: it is a tmpfs.
    """

    def __init__(self, path: Path, megabytes: int = 64) -> None:
        self.path = path
        self._megabytes = megabytes
        self.is_mounted = False

    def fill(self, pid: int) -> None:
        """From now on process `pid` writes nothing more here."""
        if not self.is_mounted:
            sizes = (file.stat().st_size for file in self.path.rglob("*") if file.is_file())
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (max(sizes, default=0), _NO_LIMIT))
            return
        found = os.statvfs(self.path)
        with (self.path / "ballast").open("ab") as ballast, contextlib.suppress(OSError):
            ballast.write(bytes(found.f_bavail * found.f_frsize))

    def relieve(self, pid: int) -> None:
        """There is room again."""
        if self.is_mounted:
            (self.path / "ballast").unlink(missing_ok=True)
        else:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (_NO_LIMIT, _NO_LIMIT))

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "tmpfs", str(self.path)]
        with contextlib.suppress(FileNotFoundError):
            self.is_mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_mounted:
            # Lazily: a process that is still ending may hold a file open.
            subprocess.run(["umount", "--lazy", self.path], check=True)
