"""The lines of a file as events, each with a key by which it is known again in another run."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Final

from precedent_backend_adapter.events import SecurityEvent
from precedent_schemas import DecodeError
from precedent_schemas.codec import decode_object, validate

_KEY_BYTES: Final = 16
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not empty.

    Attributes:
        number: counted from 1.
        end: bytes of the file up to its end.
        key: the same in every run for the same line, also when other lines come or go; two equal lines of a file
            have two.
        event: what it says, with an id made of the key where it has none; None where it says no event.
        problem: why it says none.
    """

    number: int
    end: int
    key: str
    event: SecurityEvent | None
    problem: str = ""


def read(file: IO[bytes], collection: str, kind: str | None) -> Iterator[Line]:
    """The lines of a JSON Lines file.

    Args:
        file: where to read.
        collection: of the events that name none.
        kind: likewise; None refuses them.
    """
    times: Counter[bytes] = Counter()
    end = 0
    for number, raw in enumerate(file, start=1):
        end += len(raw)
        data = raw.removeprefix(_BOM).strip()
        if data:
            about = b"\0".join((collection.encode(), (kind or "").encode(), data))
            digest = hashlib.sha256(about).digest()[:_KEY_BYTES]
            times[digest] += 1
            key = hashlib.sha256(digest + times[digest].to_bytes(8)).hexdigest()[: 2 * _KEY_BYTES]
            yield _line(number, end, key, data, {"collection": collection} | ({"kind": kind} if kind else {}))


def _line(number: int, end: int, key: str, data: bytes, defaults: dict[str, Any]) -> Line:
    try:
        given = {name: value for name, value in decode_object(data).items() if value is not None}
        event = validate(SecurityEvent, {"id": f"import-{key}", **defaults, **given})
    except DecodeError as error:
        return Line(number, end, key, None, str(error))
    return Line(number, end, key, event)
