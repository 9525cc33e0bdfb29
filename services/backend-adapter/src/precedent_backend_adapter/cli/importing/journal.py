"""What an import has done, beside its file: no line that it calls stored is ever sent again.

A text file of JSON lines: first what it is of, then for each batch what is about to be sent, and what of it the
log has. Where the second is missing, the run ended in between, and the log may have some of the batch.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, Final, Self

_VERSION: Final = 1


class JournalError(Exception):
    """The journal cannot be used; the message names it and the remedy."""


class Journal:
    """The journal of one file; use it as a context, which holds a lock on it.

    Args:
        path: where it is, or will be; None keeps nothing, so that the next run knows nothing of this one.
        where: name of what is connected to: a journal serves one log alone.
    """

    def __init__(self, path: Path | None, where: str) -> None:
        self._path = path
        self._where = where
        self._file: IO[bytes] | None = None
        self._stored: set[str] = set()
        self._open: dict[str, int] = {}

    @property
    def stored(self) -> frozenset[str] | set[str]:
        """Keys of the lines that the log has."""
        return self._stored

    @property
    def in_doubt(self) -> Mapping[str, int]:
        """Keys of the lines that the log may have, with the last sequence that was there before they were sent."""
        return self._open

    def sending(self, keys: Iterable[str], after_seq: int) -> None:
        """Note what is about to be sent, before it is."""
        listed = list(keys)
        self._open |= dict.fromkeys(listed, after_seq)
        self._write({"sending": listed, "after_seq": after_seq})

    def has(self, keys: Iterable[str]) -> None:
        """Note what the log has."""
        listed = list(keys)
        self._settle(listed)
        self._write({"stored": listed})

    def __enter__(self) -> Self:
        if self._path is None:
            return self
        try:
            self._file = file = self._path.open("a+b")
        except OSError as error:
            message = f"cannot write {self._path}: {error.strerror}; name another place with --state"
            raise JournalError(message) from error
        try:
            _lock(file, self._path)
            file.seek(0)
            self._load(file)
        except BaseException:
            file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _load(self, file: IO[bytes]) -> None:
        whole = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break  # Torn by a crash: what it says was not relied on yet.
            self._take(self._record(line, number), number)
            whole += len(line)
        file.truncate(whole)
        if whole == 0:
            self._write({"precedent_import": _VERSION, "server": self._where})

    def _record(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(line)
            known = record.keys() & {"precedent_import", "sending", "stored"}
        except (ValueError, AttributeError) as error:
            raise self._broken(number) from error
        if not known:
            raise self._broken(number)
        return record

    def _take(self, record: dict[str, Any], number: int) -> None:
        if number == 1:
            if record.get("precedent_import") != _VERSION:
                raise self._broken(number)
            if record["server"] != self._where:
                raise JournalError(
                    f"{self._path} says what {record['server']} has, and this is {self._where}: for another log name "
                    "another one with --state; where it is the same log, correct the first line"
                )
        self._open |= dict.fromkeys(record.get("sending", ()), record.get("after_seq", 0))
        self._settle(record.get("stored", ()))

    def _settle(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._open.pop(key, None)
            self._stored.add(key)

    def _write(self, record: dict[str, Any]) -> None:
        if self._file is None:
            return
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _broken(self, number: int) -> JournalError:
        return JournalError(f"line {number} of {self._path} is no record of an import: name another file with --state")


def _lock(file: IO[bytes], path: Path) -> None:
    if sys.platform == "win32":
        return
    import fcntl  # noqa: PLC0415 -- not everywhere

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise JournalError(f"{path} is in use: another import of the same file is running; wait for its end") from error
