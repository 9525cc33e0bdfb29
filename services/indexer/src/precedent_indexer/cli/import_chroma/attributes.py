"""Values that the fields of an event cannot hold, kept as attributes: illegal values, illegal or too many keys."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from precedent_schemas.fields import AttributeValue, check_attributes
from precedent_schemas.limits import MAX_ATTRIBUTE_KEY_CHARS, MAX_ATTRIBUTES

_OURS: Final = frozenset({"old_id", "old_document", "old_keys", "old_more", "text_rest"})
"""Attributes that the import writes; a key of the item with such a name is renamed like an illegal one."""
_KEY: Final = re.compile(rf"[A-Za-z0-9_.-]{{1,{MAX_ATTRIBUTE_KEY_CHARS}}}")
_NOT_IN_KEYS: Final = re.compile(r"[^A-Za-z0-9_.-]")
_STEM_CHARS: Final = 55
"""Characters kept of an illegal key; a dot and eight characters of its digest follow."""


class Keeper:
    """Builds the attributes of one event, and records what was changed.

    Attributes:
        attributes: at most 64, each of them legal.
        changes: one sentence for each kind of change.
    """

    def __init__(self) -> None:
        self.attributes: dict[str, AttributeValue] = {}
        self.changes: list[str] = []

    def keep(self, key: str, value: Any, change: str) -> None:  # noqa: ANN401 -- any value of an old item
        """Keep a value that its field cannot hold."""
        self.attributes[key] = _storable(value)
        self.changes.append(change)

    def keep_own(self, own: Mapping[str, Any]) -> None:
        """Add the item's own keys, after every call of `keep`."""
        names: dict[str, str] = {}
        renamed: dict[str, str] = {}
        # Sorted: the store returns them in varying order, and the same item must give the same bytes.
        for key in sorted(own):
            if _KEY.fullmatch(key) and key not in _OURS and key not in self.attributes:
                names[key] = key
            else:
                names[key] = _legal_name(key)
                renamed[names[key]] = clean(key)
        more: dict[str, Any] = {}
        room = MAX_ATTRIBUTES - len(self.attributes) - bool(renamed)
        if len(names) > room:
            for key in sorted(names)[room - 1 :]:
                more[clean(key)] = _storable(own[key])
                renamed.pop(names.pop(key), None)
        for key, name in names.items():
            self.attributes[name] = _storable(own[key])
        if renamed:
            change = "a key is not allowed in attributes: renamed, the old name is in old_keys"
            self.keep("old_keys", json.dumps(renamed, sort_keys=True), change)
        if more:
            change = f"more than {MAX_ATTRIBUTES} attributes: the others are in old_more"
            self.keep("old_more", json.dumps(more, sort_keys=True), change)


def clean(text: str) -> str:
    """`text` without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode()


def _legal_name(key: str) -> str:
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_NOT_IN_KEYS.sub('_', key)[:_STEM_CHARS]}.{digest}"


def _storable(value: Any) -> AttributeValue:  # noqa: ANN401 -- as above
    """`value` as a legal attribute value; other values become a string."""
    if isinstance(value, str):
        return clean(value)
    try:
        return check_attributes({"value": value})["value"]
    except ValueError:
        return clean(json.dumps(value, default=str))
