"""What neither a field nor an attribute of its own can say: one attribute that holds JSON.

It is an object with

- `text`: what stands before and after the event's text, or the whole text where the event has another in its place;
- `fields`: values of `user`, `ip` and `severity`;
- `more`: keys of the caller;
- `shadowed`: pairs of key and value of the caller that another value of that name hides, as it did of old.

Where it is long, or holds lone surrogates, the JSON is packed: `zlib;base64,` and what this says.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from precedent_backend_adapter.errors import invalid
from precedent_schemas import FieldProblem
from precedent_schemas.fields import AttributeValue

REST: Final = "compat.rest"
"""The name of the attribute."""

_PACKED: Final = "zlib;base64,"
_PACK_FROM_CHARS: Final = 16_384
# So that a small message cannot fill a reader's memory.
_MOST_BYTES: Final = 16 * 2**20
_SIDES: Final = 2


def pack(rest: Mapping[str, Any]) -> str:
    """The attribute's value.

    Raises:
        Refused: it is longer than 16 MiB.
    """
    text = json.dumps(rest, ensure_ascii=False, separators=(",", ":"))
    data = text.encode(errors="surrogatepass")
    if len(data) > _MOST_BYTES:
        message = f"has {len(data)} bytes that no field can hold, at most {_MOST_BYTES} are kept: shorten it"
        raise invalid([FieldProblem(field="text", message=message)])
    if len(text) <= _PACK_FROM_CHARS and in_utf8(text) == text:
        return text
    return _PACKED + base64.b64encode(zlib.compress(data)).decode()


def unpack(value: AttributeValue | None) -> dict[str, Any] | None:
    """What `pack` was given; None where the attribute is not ours."""
    if not isinstance(value, str):
        return None
    try:
        text = value
        if value.startswith(_PACKED):
            data = zlib.decompressobj().decompress(base64.b64decode(value.removeprefix(_PACKED)), _MOST_BYTES)
            text = data.decode(errors="surrogatepass")
        rest = json.loads(text)
    except (ValueError, binascii.Error, zlib.error, RecursionError):
        return None
    return rest if _is_rest(rest) else None


def _is_rest(value: object) -> bool:
    """Whether it has the shape that `pack` writes: the attribute may be another publisher's."""
    if not isinstance(value, dict) or not set(value) <= {"text", "fields", "more", "shadowed"}:
        return False
    around = value.get("text", "")
    pair = isinstance(around, list) and len(around) == _SIDES
    objects = [value.get(name, {}) for name in ("fields", "more")]
    return (
        (isinstance(around, str) or (pair and all(isinstance(one, str) for one in around)))
        and all(isinstance(one, dict) for one in objects)
        and all(_is_scalar(held) for one in objects for held in one.values())
    )


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def in_utf8(text: str) -> str:
    """The text with a question mark for every lone surrogate: those have no bytes in UTF-8."""
    return text.encode(errors="replace").decode()
