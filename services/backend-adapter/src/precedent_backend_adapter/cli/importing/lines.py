"""The lines of a file as events, each with a key by which it is known again in another run."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from precedent_backend_adapter.events import SecurityEvent
from precedent_schemas import DecodeError
from precedent_schemas.codec import decode_object, validate
from precedent_schemas.fields import SEQ_ID_PREFIX

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
        renamed: it had an id that the log had given, which becomes one made of the key.
        decided: it had an outcome, which is no part of the event.
    """

    number: int
    end: int
    key: str
    event: SecurityEvent | None
    problem: str = ""
    renamed: bool = False
    decided: bool = False


def read(file: Iterable[bytes], collection: str, kind: str | None) -> Iterator[Line]:
    """The lines of a JSON Lines file.

    Args:
        file: its lines.
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
        decided = given.get("outcome") is not None
        listed = _listed(given)
        if listed is not None:
            given = listed
        renamed = listed is not None and str(given.get("id", "")).startswith(SEQ_ID_PREFIX)
        if renamed:
            del given["id"]
        event = validate(SecurityEvent, {"id": f"import-{key}", **defaults, **given})
    except DecodeError as error:
        return Line(number, end, key, None, str(error))
    return Line(number, end, key, event, renamed=renamed, decided=listed is not None and decided)


def _listed(given: dict[str, Any]) -> dict[str, Any] | None:
    """The event of a line of `precedent list --json`; None where the line is of another form."""
    event = given.get("event")
    if not isinstance(event, dict) or "seq" not in given:
        return None
    return {name: value for name, value in event.items() if value is not None}
