"""Events as rows: the fields that `--fields` names, for CSV, for JSON and for a table."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from precedent_backend_adapter.cli.display.text import as_json, safe
from precedent_backend_adapter.errors import invalid
from precedent_schemas import Entry, FieldProblem, Hit

_ATTRIBUTE: Final = "attributes."
_FORMULA: Final = ("=", "+", "-", "@")

FIELDS: Final[Mapping[str, Callable[[Entry], Any]]] = MappingProxyType(
    {
        "similarity": lambda entry: entry.similarity if isinstance(entry, Hit) else None,
        "occurred_at": lambda entry: _plain(entry.event)["occurred_at"],
        "severity": lambda entry: entry.event.severity,
        "kind": lambda entry: entry.event.kind,
        "user": lambda entry: entry.event.user,
        "ip": lambda entry: entry.event.ip,
        "source": lambda entry: entry.event.source,
        "id": lambda entry: entry.event.id,
        "text": lambda entry: entry.event.text,
        "attributes": lambda entry: entry.event.attributes,
        "verdict": lambda entry: _decided(entry, "verdict"),
        "mitigation": lambda entry: _decided(entry, "mitigation"),
        "by": lambda entry: _decided(entry, "by"),
        "note": lambda entry: _decided(entry, "note"),
        "decided_at": lambda entry: _decided(entry, "decided_at"),
        "collection": lambda entry: entry.event.collection,
        "seq": lambda entry: entry.seq,
    }
)
"""Name of each field, and how an entry gives it; `attributes.NAME` comes on top."""


def chosen(fields: str | None, *, hits: bool) -> list[str]:
    """The names in a comma-separated list; without one, all of them.

    Raises:
        Refused: one of them is unknown; the message lists what there is.
    """
    if fields is None:
        return [name for name in FIELDS if hits or name != "similarity"]
    names = [name.strip() for name in fields.split(",")]
    for name in names:
        if name not in FIELDS and not (name.startswith(_ATTRIBUTE) and name != _ATTRIBUTE):
            there = ", ".join([*FIELDS, f"{_ATTRIBUTE}NAME"])
            raise invalid([FieldProblem(field="fields", message=f"no field {name!r:.60}; there are: {there}")])
    return names


def row(entry: Entry, names: Sequence[str]) -> dict[str, Any]:
    """The values of these fields; None where the event has none."""
    return {
        name: FIELDS[name](entry) if name in FIELDS else entry.event.attributes.get(name.removeprefix(_ATTRIBUTE))
        for name in names
    }


def as_csv(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with a line of names first (RFC 4180, with line feeds), each record on one line.

    Control characters and line breaks are escaped, and a string that a spreadsheet would run as a formula gets a
    single quote in front.
    """
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_cell(value) for value in one] for one in rows)
    return written.getvalue().removesuffix("\n")


def _cell(value: Any) -> str:  # noqa: ANN401 -- any value of a field
    if value is None:
        return ""
    if isinstance(value, str):
        return safe(f"'{value}" if value.startswith(_FORMULA) else value)
    return as_json(value)


def _decided(entry: Entry, name: str) -> Any:  # noqa: ANN401 -- any value of an outcome
    return None if entry.outcome is None else _plain(entry.outcome)[name]


def _plain(model: Any) -> dict[str, Any]:  # noqa: ANN401 -- an event or an outcome
    plain: dict[str, Any] = model.model_dump(mode="json")
    return plain
