"""Texts that begin with a dash."""

import asyncio

import pytest
from running_cli import run

from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.mark.parametrize(
    "arguments",
    [
        ("--- admin logged in ---",),
        ("--no such=user", "--user", "ana"),
        ("--user", "ana", "--", "-rf / was run"),
        ("-rf / was run", "-c", "incidents"),
    ],
    ids=str,
)
def test_a_text_with_blanks_may_begin_with_a_dash(arguments: tuple[str, ...]) -> None:
    """It is taken as a text wherever it stands; options before and after it are still options."""
    client = InMemoryPrecedent()
    done = (
        run(client, "publish", "auth", *arguments, "--id", "a")
        if "--" not in arguments
        else run(client, "publish", "--id", "a", "auth", *arguments)
    )
    assert done.code == 0, done.err
    [entry] = asyncio.run(client.get(["a"])).events
    assert entry.event.text in arguments
    assert entry.event.user == ("ana" if "ana" in arguments else None)
    text = next(one for one in arguments if " " in one)
    assert run(client, "search", text, "--json").json()["hits"]


def test_the_value_of_an_option_stays_with_it() -> None:
    """Also where it begins with a dash and has blanks."""
    client = InMemoryPrecedent()
    assert run(client, "publish", "auth", "text", "--user", "--a b", "--id=a").code == 0
    assert asyncio.run(client.get(["a"])).events[0].event.user == "--a b"
    assert run(client, "search", "x", "-k 1", "--json").code == 0


def test_a_misspelled_option_is_still_refused() -> None:
    """A single word with a dash in front is an option."""
    assert run(InMemoryPrecedent(), "publish", "auth", "text", "--usr", "ana").code == 2


def test_a_text_on_stdin_that_is_not_utf8_is_refused() -> None:
    """One line that names the byte."""
    done = run(InMemoryPrecedent(), "publish", "auth", "-", stdin=b"M\xfcller")
    assert (done.code, done.out) == (2, "")
    assert "the text on stdin is not UTF-8: byte 1 is 0xfc" in done.err
