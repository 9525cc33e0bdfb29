"""A file that the system refuses is said in one line, by whatever command it was used."""

import errno
import os

import pytest

from precedent_indexer import __main__ as program


@pytest.mark.parametrize(
    ("number", "file", "says"),
    [
        (errno.EACCES, "/srv/index", "Permission denied: /srv/index: let this user write there"),
        (errno.EROFS, "/srv/index", "Read-only file system: /srv/index: let this user write there"),
        (errno.ENOSPC, None, "No space left on device: free space on that disk"),
        (errno.ENOENT, None, "No such file or directory: name a file or directory that is there"),
    ],
)
def test_a_refused_file_is_one_line_with_the_remedy(
    number: int, file: str | None, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The system's words, the file and what to do: no traceback, and no talk of a fault in the program."""

    def fail() -> None:
        raise OSError(number, os.strerror(number), file)

    monkeypatch.setattr(program, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith(f"precedent-indexer: {says}")
    assert said.count("\n") == 1


def test_what_is_no_file_stays_a_fault_of_the_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A broken connection has nothing to do with files: it is to be reported."""

    def fail() -> None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr(program, "cli", fail)
    with pytest.raises(SystemExit):
        program.main()
    assert "a fault in the program" in capsys.readouterr().err
