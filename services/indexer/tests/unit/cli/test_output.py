"""What the commands write to a stream that is not UTF-8."""

import io
import sys

import pytest

from precedent_indexer import __main__
from precedent_indexer.cli.output import cell, console, table


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_character_that_the_stream_lacks_is_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every command, in plain text and in tables, in the place of a traceback."""

    def command() -> None:
        sys.stdout.write("Привет\n")
        console().print(table(("text",), [(cell("Привет"),)]))

    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(__main__, "cli", command)
    __main__.main()
    sys.stdout.flush()
    assert raw.getvalue().count(rb"\u041f\u0440\u0438\u0432\u0435\u0442") == 2
