"""`precedent-indexer verify` and `rebuild`: what was done to an index from outside is found and mended."""

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.child_process import scrubbed_environment
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import Wire

TAMPER = Path(__file__).with_name("inside") / "tamper.py"
IDS = [f"e{number}" for number in range(40)]
Tamper = Callable[..., None]


@pytest.fixture
def tamper(environment_python: Callable[[str], Path]) -> Tamper:
    """Does something to a collection in an index directory that no indexer has open."""
    python = environment_python("services/indexer")

    def do(directory: Path, collection: str = "incidents", **wanted: Any) -> None:
        asked = json.dumps({"collection": collection, **wanted})
        command = [str(python), str(TAMPER), str(directory)]
        done = subprocess.run(
            command, input=asked, env=scrubbed_environment({}), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    return do


async def command(indexer: IndexerProcess, *args: str, **settings: str) -> tuple[int, dict[str, Any]]:
    """Run one command for the index of this indexer; its exit code, and what it said as JSON."""
    env = {"NATS_URL": indexer.nats_url, "PRECEDENT_CHROMA_PATH": str(indexer.chroma_path), **settings}
    done = await asyncio.to_thread(run_indexer_command, [*args, "--json"], env)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout or "null") or {"stderr": done.stderr}


async def filled(wire: Wire, indexer: IndexerProcess) -> list[dict[str, Any]]:
    """Events, a revision, a deletion and two decisions, indexed; all entries as they are shown."""
    for name in IDS:
        await wire.event("incidents", f"failed login number {name}", id=name, user="anna", severity=2)
    await wire.event("incidents", "revised", id="e1")
    await wire.outcome("incidents", "e2", "benign", note="a test")
    await wire.outcome("incidents", "to-come", "true_positive")
    await wire.covered(await wire.event("rules", "a rule", id="r0"))
    await wire.of("incidents", "delete", ids=["e39"])
    return await entries(wire)


async def entries(wire: Wire) -> list[dict[str, Any]]:
    """All events of both collections, as they are shown."""
    return [one for name in ("incidents", "rules") for one in (await wire.of(name, "list", limit=1000))["events"]]


def do_everything(tamper: Tamper, directory: Path) -> dict[str, str]:
    """Rows removed, added and changed, an outcome taken away, one put in; what must be found, by id."""
    changed: dict[str, Any] = {
        "e6": {"metadata": {"severity": 5}},
        "e7": {"document": "another text"},
        "e8": {"metadata": {"seq": 999_999}},
        "e9": {"metadata": {"verdict": "benign"}},
    }
    tamper(directory, delete=["e3", "e4"], add=["intruder", "e39"], update=changed)
    tamper(directory, "incidents.outcomes", delete=["to-come"], add=["e10"])
    return {
        "e3": "missing",
        "e4": "missing",
        "intruder": "orphaned",
        "e39": "orphaned",
        "e6": "content",
        "e7": "content",
        "e8": "revision",
        "e9": "outcome",
        "to-come": "outcome",
    }


def found(report: dict[str, Any]) -> dict[str, str]:
    """What is wrong with which id."""
    return {one["id"]: one["what"] for one in report["examples"]}


async def test_a_running_indexer_finds_and_mends_what_was_done_to_its_index(
    own_wire: Wire, new_indexer: NewIndexer, tamper: Tamper
) -> None:
    """Whatever was done while it was down is found by name, mended, and then everything is as it was."""
    indexer = new_indexer()
    async with indexer:
        before = await filled(own_wire, indexer)
        assert (await command(indexer, "verify"))[0] == 0
    wrong = do_everything(tamper, indexer.chroma_path)
    async with indexer:
        code, ended = await command(indexer, "verify")
        assert (code, ended["outcome"]) == (1, "done")
        report = ended["report"]
        assert found(report) == wrong
        assert (report["missing"], report["orphaned"], report["differing"]) == (2, 2, 5)
        assert report["rebuild_advised"] is True
        code, ended = await command(indexer, "verify", "--repair")
        assert (code, ended["report"]["repaired"], ended["kind"]) == (0, 9, "repair")
        code, ended = await command(indexer, "verify")
        assert (code, found(ended["report"])) == (0, {})
        assert await entries(own_wire) == before
        assert (await own_wire.found("incidents", text="failed login number e3", k=1)) == ["e3"]
        assert (await own_wire.stats())["last_job"]["id"] == ended["id"]
        seq = await own_wire.event("incidents", "what was to come", id="to-come")
        await own_wire.covered(seq)
        assert (await own_wire.entry("incidents", "to-come"))["outcome"]["verdict"] == "true_positive"


async def test_without_an_indexer_the_command_does_it_itself(
    own_wire: Wire, new_indexer: NewIndexer, tamper: Tamper
) -> None:
    """Nobody serves: found, mended and built anew all the same, and the next indexer serves what came of it."""
    indexer = new_indexer()
    async with indexer:
        before = await filled(own_wire, indexer)
    wrong = do_everything(tamper, indexer.chroma_path)
    code, ended = await command(indexer, "verify")
    assert (code, found(ended["report"])) == (1, wrong)
    assert (await command(indexer, "verify", "--repair"))[0] == 0
    assert (await command(indexer, "verify"))[0] == 0
    tamper(indexer.chroma_path, delete=["e20"])
    # Behind the index: a rebuild reads up to the head of the log.
    await own_wire.event("rules", "another rule", id="r1")
    code, ended = await command(indexer, "rebuild")
    assert (code, ended["report"]["events"]) == (0, len(before) + 1)
    async with indexer:
        seq = (await own_wire.stats())["stream_seq"]
        await own_wire.covered(seq)
        assert [one for one in await entries(own_wire) if one["event"]["id"] != "r1"] == before


async def test_a_running_indexer_rebuilds_when_told(own_wire: Wire, new_indexer: NewIndexer, tamper: Tamper) -> None:
    """After `rebuild` the index is a new generation with everything in it, and its report says how it compares."""
    indexer = new_indexer()
    async with indexer:
        before = await filled(own_wire, indexer)
    tamper(indexer.chroma_path, delete=["e20"])
    generation = (indexer.chroma_path / "CURRENT").read_text()
    async with indexer:
        code, ended = await command(indexer, "rebuild")
        assert (code, ended["outcome"]) == (0, "done"), ended
        assert ended["report"]["events"] == len(before)
        assert (indexer.chroma_path / "CURRENT").read_text() != generation
        assert await entries(own_wire) == before
        assert (await command(indexer, "verify"))[0] == 0


async def test_what_is_published_meanwhile_is_no_difference(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Verified again and again while events, revisions and deletions come in, nothing is ever wrong."""
    stop = asyncio.Event()

    async def publish() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            seq = await own_wire.event("incidents", f"event {number}", id=f"id-{number % 50}")
            if number % 20 == 0:
                await own_wire.covered(seq)
                await own_wire.of("incidents", "delete", ids=[f"id-{number % 50}"])

    async with new_indexer() as indexer:
        publishing = asyncio.create_task(publish())
        for repair in ([], ["--repair"], []):
            code, ended = await command(indexer, "verify", *repair)
            assert (code, found(ended["report"])) == (0, {})
        stop.set()
        await publishing


async def test_nothing_is_done_to_a_directory_in_use(own_wire: Wire, new_indexer: NewIndexer, tmp_path: Path) -> None:
    """Asked by a server where no indexer answers, while another has the directory open: refused, with the remedy."""
    async with new_indexer() as indexer:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
        with NatsServer(tmp_path / "elsewhere") as elsewhere:
            code, said = await command(indexer, "verify", NATS_URL=elsewhere.url)
        assert code == 1
        assert "in use by another process" in said["stderr"]


async def test_an_index_that_is_not_there_cannot_be_compared(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """No indexer and no index: the command says what fills one, and a rebuild does."""
    indexer = new_indexer()
    async with indexer:
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
    empty = new_indexer("empty")
    code, said = await command(empty, "verify")
    assert code == 1
    assert "precedent-indexer rebuild" in said["stderr"]


async def test_one_long_job_runs_at_a_time(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A second rebuild joins the first, a verification meanwhile is refused by name, questions are answered."""
    async with new_indexer() as indexer:
        await filled(own_wire, indexer)
        first = await own_wire.ask("security.index.v1.rebuild")
        second = await own_wire.ask("security.index.v1.rebuild")
        assert (first["joined"], second["joined"]) == (False, True)
        assert second["job"]["id"] == first["job"]["id"]
        refusal = await own_wire.refused("security.index.v1.verify")
        assert (refusal.code, refusal.reason) == (409, "refused")
        assert "rebuild" in refusal.message
        assert await own_wire.found("incidents", text="failed login", k=1)
        assert (await command(indexer, "rebuild"))[0] == 0


async def test_a_stop_in_the_middle_of_a_job_is_a_soft_one(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """SIGTERM ends a rebuild under way at once; the next start goes on with it, unasked."""
    async with new_indexer() as indexer:
        before = await filled(own_wire, indexer)
        generation = (indexer.chroma_path / "CURRENT").read_text()
        await own_wire.ask("security.index.v1.rebuild")
        assert await indexer.terminate() == 0
        assert "stopped_hard" not in {entry["event"] for entry in indexer.logs()}
        interrupted = (indexer.chroma_path / "CURRENT").read_text() == generation
        indexer.start()
        await indexer.wait_ready()

        async def is_settled() -> None:
            assert (indexer.chroma_path / "CURRENT").read_text() != generation
            assert (await own_wire.stats())["job"] is None

        if interrupted:
            await eventually(is_settled, timeout=60)
        assert await entries(own_wire) == before
        assert (await command(indexer, "verify"))[0] == 0
