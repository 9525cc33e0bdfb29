"""What others wrote, on a terminal: it cannot do anything there."""

import asyncio
import json

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from running_cli import given, run

from precedent_backend_adapter.cli.display.text import as_json, cut, safe
from precedent_backend_adapter.testing import InMemoryPrecedent

NASTY = {
    "escape sequence": "\x1b[2J\x1b]0;owned\x07",
    "C1 control": "\x9b31m",
    "delete": "a\x7fb",
    "line break": "first\nsecond\rthird\x0bfourth",
    "line separator": "a\u2028b\u2029c\x85d",
    "direction of writing": "\u202eevil\u2066x",
    "no width": "pay\u200bpal\ufeff",
    "rich markup": "[bold red]x[/] [link=http://x]y[/link] :smile:",
}


@for_all(st.text())
def test_safe_text_is_printable_and_plain_text_stays_as_it_is(text: str) -> None:
    """Whatever comes in, only printable characters come out, and a text of only those is not touched."""
    assert safe(text).isprintable()
    assert (safe(text) == text) == text.isprintable()


@for_all(st.recursive(st.text() | st.integers() | st.booleans(), st.lists))
def test_json_is_printable_and_says_the_same(value: object) -> None:
    """Escaping for the terminal never changes what a program reads."""
    line = as_json(value)
    assert line.isprintable()
    assert json.loads(line) == value


def test_a_long_text_is_cut_and_says_so() -> None:
    """A cell holds a part of a long text and the number of characters that are missing."""
    assert cut("x" * 10, 10) == "x" * 10
    assert cut("x" * 12, 10) == "x" * 10 + "... (2 more)"


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
@pytest.mark.parametrize(
    "command",
    [("search", "x"), ("list",), ("get", "a"), ("tail", "--count", "1"), ("dead-letters", "list")],
    ids=lambda command: command[0],
)
def test_nothing_that_an_event_says_reaches_the_terminal_as_a_command(text: str, command: tuple[str, ...]) -> None:
    """Text, user, attributes, outcome and dead letters: no control character and no line of their own."""
    client = InMemoryPrecedent()
    asyncio.run(given(client, {"id": "a", "text": f"x{text}x", "user": text, "attributes": {"key": text}}))
    client.publish_raw("security.events.v1.incidents.x", json.dumps({"text": 3, "id": text}).encode())
    for arguments in (command, (*command, "--json")):
        done = run(client, *arguments)
        assert done.code == 0, done.err
        assert done.out.replace("\n", "").isprintable()
        assert "\nsecond" not in done.out


def test_markup_is_shown_as_it_stands() -> None:
    """Neither markup nor emoji codes of an event are interpreted."""
    client = InMemoryPrecedent()
    asyncio.run(given(client, {"id": "a", "text": "[bold]x[/bold] :smile:"}))
    assert "[bold]x[/bold] :smile:" in run(client, "list").out


def test_an_id_cannot_be_claimed_by_a_text() -> None:
    """The id stands on a line of its own, and the text has no line breaks of its own and a rule in front."""
    client = InMemoryPrecedent()
    asyncio.run(given(client, {"id": "real", "text": "x\nfake"}))
    shown = run(client, "list").out
    assert shown.splitlines()[1:3] == ["  │ x\\nfake", "  id real"]
