"""Times and severities as other systems write them: the table of the README, and what stays refused."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from running_cli import run

from precedent_backend_adapter import Refused, SecurityEvent
from precedent_backend_adapter.events.normalise import SEVERITY_WORDS
from precedent_backend_adapter.testing import InMemoryPrecedent
from precedent_schemas import SecurityEvent as WireEvent

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `(occurred_at|severity)` \| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = [
    (field, json.loads(given), json.loads(meant))
    for field, several, meant in (
        (field, re.findall(r"`([^`]+)`", givens), meant.strip("`"))
        for field, givens, meant in ROW.findall(README.read_text(encoding="utf-8"))
    )
    for given in several
]
REFUSED = [
    ("occurred_at", "2026-01-31T12:00:00"),
    ("occurred_at", "2026-01-31T12:00:00+25:00"),
    ("occurred_at", "31.01.2026 12:00:00Z"),
    ("occurred_at", 1769860800000),
    ("occurred_at", "1769860800000"),
    ("occurred_at", float("nan")),
    ("occurred_at", True),
    ("severity", "urgent"),
    ("severity", "6"),
    ("severity", 0),
    ("severity", 3.5),
    ("severity", "3.5"),
    ("severity", float("inf")),
    ("severity", True),
    ("severity", ""),
]


def shown(field: str, value: Any) -> Any:
    """A field of an event with this value, as it would be sent."""
    event = SecurityEvent.model_validate({"kind": "x", "text": "x", field: value})
    return event.model_dump(mode="json")[field]


@pytest.mark.parametrize(("field", "given", "meant"), ROWS)
def test_each_form_of_the_table_is_converted(tmp_path: Path, field: str, given: Any, meant: Any) -> None:
    """The adapter, `precedent publish` and `precedent import` convert what the README's table lists."""
    assert shown(field, given) == meant
    client = InMemoryPrecedent()
    option = {"occurred_at": "--at", "severity": "--severity"}[field]
    published = run(client, "publish", "x", "published", option, str(given))
    file = tmp_path / "one.jsonl"
    file.write_text(json.dumps({"text": "imported", field: given}), encoding="utf-8")
    imported = run(client, "import", str(file), "--kind", "x")
    assert (published.code, imported.code) == (0, 0), (published.err, imported.err)
    assert [one["event"][field] for one in run(client, "list", "--json").lines()] == [meant, meant]


def test_the_table_lists_every_word() -> None:
    """Each word of the code stands in the table, and the table has a row for each level and form of time."""
    assert {given.casefold() for field, given, _ in ROWS if field == "severity" and str(given).isalpha()} == set(
        SEVERITY_WORDS
    )
    assert len([field for field, _, _ in ROWS if field == "occurred_at"]) >= 8


@pytest.mark.parametrize(("field", "given"), REFUSED)
def test_what_has_no_one_meaning_is_refused(field: str, given: Any) -> None:
    """The error names the field."""
    with pytest.raises(Refused) as caught:
        shown(field, given)
    assert [one.field for one in caught.value.problems] == [field]


@pytest.mark.parametrize(("field", "given"), [("occurred_at", 1769860800), ("severity", "high"), ("severity", "4")])
def test_the_wire_is_strict(field: str, given: Any) -> None:
    """The event of the schemas, which the indexer reads with, takes neither words nor seconds."""
    with pytest.raises(ValidationError):
        WireEvent.model_validate({"kind": "x", "text": "x", field: given})
