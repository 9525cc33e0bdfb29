"""What the system does not give is told from an index that is broken."""

import errno
import os
import resource
from pathlib import Path

import pytest

from precedent_indexer.adapters.chroma import shortage as module
from precedent_indexer.adapters.chroma.shortage import FILES, MEMORY, PERMISSION, ROOM, THREADS, shortage


class InternalError(Exception):
    """As Chroma's, which carries the words of the system."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), FILES),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), FILES),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), MEMORY),
        (MemoryError(), MEMORY),
        (InternalError("The global thread pool has not been initialized.: ThreadPoolBuildError"), THREADS),
        (RuntimeError("can't start new thread"), THREADS),
        (OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)), THREADS),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), ROOM),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), ROOM),
        (InternalError("error returned from database: (code: 13) database or disk is full"), ROOM),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), PERMISSION),
        (OSError(errno.EPERM, os.strerror(errno.EPERM)), PERMISSION),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), PERMISSION),
        (InternalError("(code: 8) attempt to write a readonly database"), PERMISSION),
        (InternalError("Error loading hnsw index"), None),
        (ValueError("malformed database schema"), None),
    ],
)
def test_an_error_names_its_shortage_by_its_words(tmp_path: Path, error: Exception, expected: str | None) -> None:
    """Also as the cause of another error; an error of the index itself names none."""
    assert shortage(error, tmp_path) == expected
    outer = RuntimeError("Chroma")
    outer.__cause__ = error
    assert shortage(outer, tmp_path) == expected


def test_too_few_files_are_found_although_the_error_does_not_say_so(tmp_path: Path) -> None:
    """SQLite says `unable to open database file` of that and of much else, so the process itself is tried."""
    error = InternalError("(code: 14) unable to open database file")
    assert shortage(error, tmp_path) is None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 4, hard))
    try:
        assert shortage(error, tmp_path) == FILES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_may_not_be_written_is_a_matter_of_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file of the generation is asked about, also one in a segment's directory."""
    (tmp_path / "segment").mkdir()
    closed = tmp_path / "segment" / "data_level0.bin"
    closed.touch()
    monkeypatch.setattr(module.os, "access", lambda path, _mode: path != closed)
    assert shortage(InternalError("Error loading hnsw index"), tmp_path) == PERMISSION
