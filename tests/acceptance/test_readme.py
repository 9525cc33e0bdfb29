"""What the README shows is run: its Python here, its commands by CI or here."""

import asyncio
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

from harness.indexer_process import run_indexer_command
from harness.stack import NewIndexer, Stack
from harness.wire import Wire

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_URL: Final = "nats://127.0.0.1:4222"


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language in the README."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


async def run(program: str, url: str) -> str:
    """What a snippet prints against a running stack, in a process of its own."""
    body = textwrap.indent(program.replace(DEFAULT_URL, url), "    ")
    script = f"import asyncio\n\nasync def main():\n{body}\n\nasyncio.run(main())\n"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def test_python_snippet_finds_its_event(stack: Stack) -> None:
    """The README's Python, word for word, publishes its event and finds it first."""
    (snippet,) = blocks("python")
    printed = await run(snippet, stack.server.url)
    assert "5000 failed logins for admin in 30 s" in printed.splitlines()[0]


def test_every_command_is_run_by_ci() -> None:
    """Each command that the README shows in a block is a line of the CI script."""
    shown = {line.strip() for block in blocks("sh") for line in block.splitlines() if line.strip()}
    steps = {line.strip() for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()}
    assert shown
    assert shown <= steps


async def test_operators_commands_do_what_they_say(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Each command of the operator's section, word for word, ends well against an indexer with a dead letter."""
    (block,) = blocks("bash")
    commands = [shlex.split(line, comments=True) for line in block.splitlines()]
    assert {command[0] for command in commands} == {"precedent-indexer"}
    async with new_indexer() as indexer:
        for command in commands:
            # Each that names a dead letter gets one of its own: the one before may have taken it away.
            seq = await own_wire.publish("security.events.v1.incidents.auth", b"no JSON")
            await own_wire.covered(seq)
            arguments = [str(seq) if word == "17" else word for word in command[1:]]
            done = await asyncio.to_thread(run_indexer_command, arguments, {"NATS_URL": indexer.nats_url})
            assert done.returncode == 0, (command, done.stdout + done.stderr)
            assert done.stdout


def test_every_target_named_exists() -> None:
    """Each `make` target that a document names is one of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("*/**/README.md"))):
        if ".venv" not in document.parts:
            named = set(re.findall(r"`make ([a-z-]+)`", document.read_text(encoding="utf-8")))
            assert named <= targets, f"{document.relative_to(ROOT)} names {sorted(named - targets)}"


def test_every_document_is_listed() -> None:
    """Each page of docs stands in the README's table: nobody looks for what they do not know of."""
    assert [path.name for path in sorted((ROOT / "docs").glob("*.md")) if f"](docs/{path.name})" not in README] == []


def test_every_link_leads_somewhere() -> None:
    """Each relative link of the documents leads to a file or folder that is there."""
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/**/README.md")]
    for document in documents:
        if ".venv" in document.parts:
            continue
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"
