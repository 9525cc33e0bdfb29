"""What an import reads besides a file of events: stdin, pipes, lines of `list`; and what it refuses at once."""

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest
from running_cli import given, run

from precedent_backend_adapter import Outcome, Unavailable, Verdict
from precedent_backend_adapter.testing import InMemoryPrecedent

LINES = '{"text": "one", "kind": "x"}\n{"text": "two", "kind": "x"}\n'


@pytest.fixture
def client() -> InMemoryPrecedent:
    """An empty one."""
    return InMemoryPrecedent()


def test_stdin_is_read_and_has_no_journal(client: InMemoryPrecedent, tmp_path: Path) -> None:
    """A second run replaces each event by the same; with --state it sends nothing."""
    for _ in range(2):
        report = run(client, "import", "-", "--json", stdin=LINES).json()
        assert (report["published"], report["already"]) == (2, 0)
    assert len(run(client, "list", "--json").lines()) == 2
    kept = ("import", "-", "--json", "--state", str(tmp_path / "journal"))
    assert run(client, *kept, stdin=LINES).json()["published"] == 2
    assert run(client, *kept, stdin=LINES).json()["already"] == 2


def test_a_pipe_by_name_is_read(client: InMemoryPrecedent) -> None:
    """As the shell's process substitution and /dev/stdin are."""
    reading, writing = os.pipe()
    os.write(writing, LINES.encode())
    os.close(writing)
    done = run(client, "import", f"/dev/fd/{reading}", "--json")
    os.close(reading)
    assert (done.code, done.json()["published"]) == (0, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps([{"text": "x"}]).encode(), "is a JSON array"),
        (b"\n" + json.dumps([{"text": "x"}], indent=1).encode(), "is a JSON array"),
        (json.dumps({"text": "x"}, indent=1).encode(), "objects over several lines"),
        (LINES.encode("utf-16"), "UTF-16"),
        (LINES.encode("utf-16-le"), "UTF-16"),
        (gzip.compress(LINES.encode()), "compressed with gzip"),
    ],
)
def test_another_form_is_refused_once(client: InMemoryPrecedent, tmp_path: Path, content: bytes, said: str) -> None:
    """One line with the command that converts it, and nothing is published."""
    file = tmp_path / "events.jsonl"
    file.write_bytes(content)
    done = run(client, "import", str(file), "--kind", "x")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "| precedent import -" in done.err
    assert done.err.count("\n") == 1
    assert run(client, "stats", "--json").json()["stream"]["last_seq"] == 0


@pytest.mark.parametrize("option", [("--kind", "Not A Kind"), ("--collection", "x")], ids=str)
def test_an_option_that_is_wrong_for_every_line_is_refused_once(
    client: InMemoryPrecedent, option: tuple[str, str]
) -> None:
    """Exit code 2, naming it."""
    done = run(client, "import", "-", *option, stdin='{"text": "x"}\n' * 3)
    assert (done.code, done.out) == (2, "")
    assert f"{option[0][2:]}: should be" in done.err


def test_what_list_shows_can_be_imported(client: InMemoryPrecedent) -> None:
    """Ids of the log become new ones, other ids stay, outcomes are left out; the report says so."""
    asyncio.run(given(client, {"id": "a", "severity": 4, "user": "ana", "attributes": {"port": 22}}))
    seq = client.publish_raw("security.events.v1.incidents.scan", b'{"text": "from a shell"}')
    asyncio.run(client.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN)))
    listed = run(client, "list", "--json", "--limit", "0").out
    other = InMemoryPrecedent()
    done = run(other, "import", "-", stdin=listed)
    assert (done.code, done.out) == (0, "2 published, 0 already there, 0 refused\n")
    assert "1 event got a new id" in done.err
    assert "1 outcome left out" in done.err
    copied = {one["event"]["text"]: one["event"] for one in run(other, "list", "--json").lines()}
    original = {one["event"]["text"]: one["event"] for one in map(json.loads, listed.splitlines())}
    assert copied["many failed logins"] == original["many failed logins"]
    shell = copied["from a shell"]
    assert shell["id"].startswith("import-")
    assert {**shell, "id": f"seq-{seq}"} == original["from a shell"]
    assert run(other, "import", "-", "--json", stdin=listed).json()["renamed"] == 1


def test_an_import_of_stdin_that_breaks_off_says_how_to_go_on(client: InMemoryPrecedent) -> None:
    """Without a journal that is from the beginning."""

    async def refuse(_: object) -> None:
        raise Unavailable("the server is gone")

    client.publish = refuse  # type: ignore[method-assign,assignment]
    done = run(client, "import", "-", stdin=LINES)
    assert (done.code, done.out) == (1, "")
    assert "stdin: 0 published, then no more: the server is gone; run it again from the beginning" in done.err
