"""What people see of events: blocks in every width and kind of terminal, compared with the files in `snapshots`."""

import asyncio
import io
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from running_cli import run

from precedent_backend_adapter import Outcome, SecurityEvent
from precedent_backend_adapter.cli.display import wording
from precedent_backend_adapter.cli.display.blocks import words
from precedent_backend_adapter.cli.display.entries import show_entries
from precedent_backend_adapter.cli.display.output import Output
from precedent_backend_adapter.testing import InMemoryPrecedent

SNAPSHOTS = Path(__file__).parent / "snapshots"
NOW = datetime(2026, 1, 4, 12, tzinfo=UTC)
SEARCH = ("search", "failed login of admin")
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
EVENTS = [
    {
        "id": "evt-1",
        "kind": "auth.brute_force",
        "text": "5000 failed logins for admin in 30 s from 203.0.113.7, then one that succeeded from the same address; "
        "the session lasted eleven minutes before an analyst ended it",
        "severity": "critical",
        "user": "admin",
        "ip": "203.0.113.7",
        "occurred_at": "2026-01-01T12:00:00Z",
    },
    {
        "id": "evt-2",
        "kind": "auth.mfa",
        "text": "Failed login\n  id evt-9",
        "severity": "high",
        "user": 'admin"  true positive',
        "ip": "2001:db8::7",
        "occurred_at": "2026-01-04T11:00:00Z",
    },
    {"id": "evt-3", "kind": "scan", "text": "スキャン of 1024 ports", "occurred_at": "2026-01-04T12:00:30Z"},
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> InMemoryPrecedent:
    """One with three events, at a fixed time, in an environment that says nothing of a terminal."""
    for name in ("COLORTERM", "COLUMNS", "FORCE_COLOR", "NO_COLOR", "TERM", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wording, "now", lambda: NOW)
    filled = InMemoryPrecedent()

    async def fill() -> None:
        for fields in EVENTS:
            await filled.publish(SecurityEvent.model_validate(fields))
        done = Outcome.model_validate(
            {"event_id": "evt-1", "verdict": "true_positive", "by": "ana", "mitigation": "reset password"}
        )
        await filled.publish_outcome(done)

    asyncio.run(fill())
    return filled


@pytest.mark.parametrize(
    ("name", "arguments", "environment"),
    [
        ("search-80-colour", SEARCH, {**TERMINAL, "COLUMNS": "80"}),
        ("search-120-colour", SEARCH, {**TERMINAL, "COLUMNS": "120"}),
        ("search-80-no-colour", SEARCH, {**TERMINAL, "COLUMNS": "80", "NO_COLOR": "1"}),
        ("search-80-dumb", SEARCH, {**TERMINAL, "COLUMNS": "80", "TERM": "dumb"}),
        ("search-40-pipe", SEARCH, {"COLUMNS": "40"}),
        ("search-pipe", SEARCH, {}),
        ("list-80", ("list",), {"COLUMNS": "80"}),
        ("nothing-similar-80", ("search", "zebra", "--min-similarity", "0.5"), {"COLUMNS": "80"}),
        ("recurrence-80", ("recurrence", "login", "--min-similarity", "0.2"), {"COLUMNS": "80"}),
        ("week-80", ("recurrence", "x", "--min-similarity", "-1", "--bucket", "week"), {"COLUMNS": "80"}),
        ("fields-80", ("list", "--fields", "occurred_at,user,text"), {"COLUMNS": "80"}),
        ("kinds-80", ("kinds",), {"COLUMNS": "80"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_it_looks_as_it_was_approved(
    client: InMemoryPrecedent,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    arguments: tuple[str, ...],
    environment: dict[str, str],
) -> None:
    """Byte for byte; a file that is missing is written, to be looked at, and fails the test."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    shown = run(client, *arguments).out
    file = SNAPSHOTS / f"{name}.txt"
    if not file.exists():
        file.write_text(shown, encoding="utf-8")
        pytest.fail(f"{file} was written: look at it and run the test again")
    assert shown == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("columns", ["20", "80", "120"])
def test_no_line_is_wider_than_the_terminal(
    client: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Whatever the width, also with characters of double width, and the whole text is there."""
    from rich.cells import cell_len

    monkeypatch.setenv("COLUMNS", columns)
    lines = run(client, *SEARCH).out.splitlines()
    assert max(map(cell_len, lines)) <= int(columns)
    text = "".join(line.removeprefix("  │ ") for line in lines if line.startswith("  │ "))
    assert "スキャン" in text
    assert "ended" in text


def test_no_text_can_pose_as_another_part(client: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any width an id line shows a real id, and a user's name that looks like a decision stands in quotes."""
    for columns in (14, 17, 23, 80, 130):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = run(client, "list").out
        shown = [line for line in out.splitlines() if line.startswith("  id ")]
        assert shown == ["  id evt-3", "  id evt-2", "  id evt-1"]
    assert r'user "admin\"  true positive"' in out


def test_a_stream_that_lacks_a_character_gets_an_escape(
    client: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ASCII and in Latin-1 nothing fails: a text is escaped, in blocks and in lines of CSV."""
    [entry] = asyncio.run(client.get(["evt-3"])).events
    for encoding in ("ascii", "latin-1"):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        out = Output(json=False)
        show_entries(out, [entry])
        show_entries(out, [entry], ["text"], csv=True)
        shown = raw.getvalue().decode("ascii")
        assert r"| \u30b9\u30ad\u30e3\u30f3 of 1024 ports" in shown
        assert "text\n\\u30b9" in shown


def test_the_words_of_a_question_are_those_that_say_something() -> None:
    """Function words are left out; addresses and names with dots or dashes stay whole."""
    question = "The login of admin from 203.0.113.7 on vpn-gw.example, and the LOGIN?"
    assert words(question) == ["login", "admin", "203.0.113.7", "vpn-gw.example"]
    assert words(None) == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "now"),
        (1, "1 second ago"),
        (119, "1 minute ago"),
        (7200, "2 hours ago"),
        (86_400, "1 day ago"),
        (40 * 86_400, "1 month ago"),
        (800 * 86_400, "2 years ago"),
        (-61, "in 1 minute"),
    ],
)
def test_how_long_ago_is_said_in_the_largest_unit(seconds: int, said: str) -> None:
    """One is singular; what is to come says so."""
    assert wording.ago(datetime.fromtimestamp(NOW.timestamp() - seconds, UTC), NOW) == said
