"""docs/operating.md: its commands are run, and what its tables tell people to type is run somewhere."""

import re
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
