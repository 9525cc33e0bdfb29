"""docs/operating.md: its commands are run, and what its tables tell people to type is run somewhere."""

import asyncio
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from harness.console import read_steps, shown
from harness.stack import NewIndexer
from harness.terminal import Terminal
from harness.wire import Wire

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PAGE: Final = (DOCS / "operating.md").read_text(encoding="utf-8")
INLINE: Final = re.compile(r"`((?:precedent-indexer|nats) [^`]+)`")
README: Final = (DOCS.parent / "README.md").read_text(encoding="utf-8")
SCALE: Final = (DOCS / "scale.md").read_text(encoding="utf-8")
DEPLOY: Final = DOCS.parent / "deploy"

# What the page says that a thing takes, where scale.md has it measured, and a part of its row there.
SIZES: Final = (
    (r"text not seen before \| *\| ([\d.]+) ms", "until it is searchable"),
    (r"disk of the index \| *\| ([\d.]+) KB", "an event in the index, on disk"),
    (r"memory of the indexer \| ([\d.]+) GB", "an index of nothing, in memory"),
    (r"memory of the indexer \|[^|]*\| ([\d.]+) KB", "an event in the index, in memory"),
    (r"disk of the log, each replica \| *\| ([\d.]+) KB", "an event in the log, on disk"),
    (r"start \| 3 s \| ([\d.]+) µs", "start to first answer"),
)
ROUNDED: Final = 1.35
"""So many times more or less is still rounded; another machine's figures are not."""

OTHER_FORMAT: Final = """
import sys
from dataclasses import replace
from pathlib import Path
from precedent_indexer.adapters.chroma.embedded import ChromaStore
directory = Path(sys.argv[1])
store = ChromaStore.open(directory / (directory / "CURRENT").read_text().strip())
store.set_identity(replace(store.identity(), index_format=1))
store.close()
"""
"""Makes an index say that it is of an older format, as an older version would have left it."""


@pytest.mark.timeout(300)
async def test_the_page_is_true(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """Every command prints what the page shows, with an event in the index and another among the dead letters."""
    steps = read_steps("operating.md", PAGE)
    assert [step.where for step in steps if not shown(step.printed)] == []
    async with new_indexer() as indexer:
        await own_wire.event("incidents", "5000 failed logins for admin in 30 s")
        await own_wire.covered(await own_wire.publish("security.events.v1.incidents.auth", b"no JSON"))
        terminal = Terminal(tmp_path, variables={"NATS_URL": indexer.nats_url})
        for step in steps:
            await terminal.run(step)


def test_what_the_tables_tell_to_type_is_run() -> None:
    """A command inside a sentence begins as one in a block of this page, of the README or of nats-cli.md."""
    pages = (PAGE, README, (DOCS / "nats-cli.md").read_text(encoding="utf-8"))
    typed = [line for page in pages for line in page.splitlines() if re.match(r"(\$ )?(precedent-indexer|nats) ", line)]
    run = [" ".join(line.removeprefix("$ ").split()) for line in typed]
    named = {re.split(r" [-'…=]", one)[0] for one in INLINE.findall(PAGE)}
    assert named
    assert {one for one in named if not any(line.startswith(one) for line in run)} == {"precedent-indexer serve"}


@pytest.mark.parametrize(("pattern", "measured"), SIZES)
def test_sizes_are_those_that_were_measured(pattern: str, measured: str) -> None:
    """What the page says that it takes is what scale.md has from the last run, but for rounding."""
    [said] = re.findall(pattern, PAGE)
    [found] = re.findall(rf"(?m)^\| [^|]*{measured}[^|]*\| ([\d.]+) \|", SCALE)
    assert 1 / ROUNDED < float(said) / float(found) < ROUNDED


def test_ports_are_those_of_the_configuration() -> None:
    """The page's ports of nats-server are those of deploy/nats/server.conf, monitoring on loopback alone."""
    configuration = (DEPLOY / "nats/server.conf").read_text(encoding="utf-8")
    assert 'listen: "0.0.0.0:4222"' in configuration
    assert 'http: "127.0.0.1:8222"' in configuration
    assert "| nats-server | 4222 for clients; 8222 for monitoring, on loopback alone" in PAGE


@pytest.mark.timeout(300)
async def test_another_version_on_the_same_directory_is_well_by_itself(
    own_wire: Wire, new_indexer: NewIndexer, environment_python: Callable[[str], Path], tmp_path: Path
) -> None:
    """Where it cannot read the older one's format, it fills an index from the log, unasked, and is healthy again."""
    async with new_indexer() as indexer:
        await own_wire.event("incidents", "5000 failed logins for admin in 30 s", id="known")
        seq = await own_wire.outcome("incidents", "known", "benign")
        await own_wire.covered(seq)
    command = [str(environment_python("services/indexer")), "-c", OTHER_FORMAT, str(indexer.chroma_path)]
    await asyncio.to_thread(subprocess.run, command, check=True)
    async with new_indexer() as newer:
        await own_wire.covered(seq)
        reply = await own_wire.search("incidents", text="failed logins for admin", k=1)
        assert (reply["hits"][0]["event"]["id"], reply["hits"][0]["outcome"]["verdict"]) == ("known", "benign")
        [rebuilt] = [entry for entry in newer.logs() if entry["event"] == "index_rebuilt"]
        assert "its format is 1" in rebuilt["reason"]
        terminal = Terminal(tmp_path, variables={"NATS_URL": newer.nats_url})
        [health] = [step for step in read_steps("operating.md", PAGE) if step.command == "precedent-indexer health"]
        await terminal.run(replace(health, printed=("healthy: 0 messages behind",)))
