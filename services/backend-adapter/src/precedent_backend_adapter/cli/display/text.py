"""What others wrote, made fit for a terminal: nothing in it can move the cursor, hide or pose as something else."""

import json
from typing import Final

from pydantic import BaseModel

MAX_CELL_CHARS: Final = 400
"""Characters of a text in a table; `get` shows the whole."""
_DEL: Final = "\x7f"


def safe(text: str) -> str:
    r"""`text` with everything that is not printable written as an escape, as in `\x1b`.

    That covers control characters, line breaks, the marks that turn the direction of writing, and what has no width.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def cut(text: str, most: int = MAX_CELL_CHARS) -> str:
    """At most so many characters, and how many more there are."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text) - most} more)"


def as_json(value: object) -> str:
    """One line of JSON in which everything that is not printable is escaped, so that a terminal may show it."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    dumped = json.dumps(plain, ensure_ascii=False, allow_nan=False, default=_model)
    if dumped.isprintable():
        return dumped
    # Outside of strings JSON on one line is printable, so these stand in strings.
    return "".join(char if char.isprintable() else _escape(char) for char in dumped)


def _model(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} has no JSON")


def _escape(char: str) -> str:
    # DEL is the one control character that the library takes for plain ASCII.
    return "\\u007f" if char == _DEL else json.dumps(char)[1:-1]
