"""Where an import reads: a file or stdin; and what is no JSON Lines at all is refused once, at its first line."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from precedent_backend_adapter._publishing.publications import check_collection
from precedent_backend_adapter.errors import invalid
from precedent_schemas import FieldProblem
from precedent_schemas.subjects import is_kind

STDIN: Final = Path("-")
_STREAMS: Final = ("/dev/", "/proc/")
_GZIP: Final = b"\x1f\x8b"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


class NoJsonLines(Exception):
    """The whole file has another form; the message names it and the command that converts it."""


@dataclass(frozen=True, slots=True)
class Source:
    """An open file.

    Attributes:
        file: what it reads.
        size: its bytes; None for a stream, which has no end that is known.
    """

    file: IO[bytes]
    size: int | None


def is_stream(path: Path) -> bool:
    """Whether it is stdin, a pipe or a device: nothing that can be read again, or that a journal can stand beside."""
    return path == STDIN or str(path).startswith(_STREAMS) or (path.exists() and not path.is_file())


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The file of that name, or stdin for `-`.

    Raises:
        OSError: it cannot be read.
    """
    if path == STDIN:
        yield Source(sys.stdin.buffer, None)
        return
    with path.open("rb") as file:
        yield Source(file, None if is_stream(path) else path.stat().st_size)


def checked(file: Iterable[bytes], name: str) -> Iterator[bytes]:
    """The lines of `file`, once the first of them could be one of JSON Lines.

    Raises:
        NoJsonLines: it could not.
    """
    lines = iter(file)
    head: list[bytes] = []
    for line in lines:
        head.append(line)
        if line.strip():
            _check(line, name)
            break
    return itertools.chain(head, lines)


def check_defaults(collection: str, kind: str | None) -> None:
    """Refuse a collection or a kind that would be wrong for every line.

    Raises:
        Refused: naming it.
    """
    check_collection(collection)
    if kind is not None and not is_kind(kind):
        message = f"should be one to four tokens of [a-z0-9_-] with dots in between (got {kind!r:.60})"
        raise invalid([FieldProblem(field="kind", message=message)])


def _check(line: bytes, name: str) -> None:
    begin = line.strip()
    if line.startswith(_GZIP):
        raise NoJsonLines(f"{name} is compressed with gzip: gunzip -c FILE | precedent import -")
    if line.startswith(_UTF16) or b"\0" in line:
        raise NoJsonLines(f"{name} seems to be UTF-16, not UTF-8: iconv -f UTF-16 -t UTF-8 FILE | precedent import -")
    if begin.startswith(b"["):
        raise NoJsonLines(f"{name} is a JSON array, not one object on each line: jq -c '.[]' FILE | precedent import -")
    if begin == b"{":
        raise NoJsonLines(f"{name} has objects over several lines, not one on each: jq -c . FILE | precedent import -")
