"""`precedent-indexer import-chroma`: a data directory of the old service into a running stack."""

import asyncio
import gzip
import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.child_process import ChildProcess, scrubbed_environment
from harness.indexer_process import INDEXER, run_indexer_command
from harness.nats_server import NatsServer
from harness.stack import Stack
from harness.waits import eventually
from harness.wire import Wire

GOLDEN = Path(__file__).parents[2] / "services" / "indexer" / "tests" / "golden" / "old_service_chroma_1_2_1.sqlite3.gz"
"""Written by chromadb 1.2.1: `semantic_history` (11 items) and `refined_rules` (3)."""
ITEMS = 11


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The data directory of the old service."""
    directory = tmp_path / "old"
    directory.mkdir()
    (directory / "chroma.sqlite3").write_bytes(gzip.decompress(GOLDEN.read_bytes()))
    return directory


async def run(
    url: str, old: Path, to: str, *options: str, collection: str = "semantic_history"
) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    arguments = ["import-chroma", str(old), "--collection", collection, "--to", to, *options]
    return await asyncio.to_thread(run_indexer_command, arguments, {"NATS_URL": url}, 90.0)


async def imported(url: str, old: Path, to: str, *options: str, collection: str = "semantic_history") -> str:
    """What a successful run prints."""
    done = await run(url, old, to, *options, collection=collection)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def settled(wire: Wire) -> None:
    """Wait until the index covers the whole log."""
    await wire.covered((await wire.stats())["stream_seq"])


async def test_old_items_are_found_with_their_ids_and_times(
    stack: Stack, wire: Wire, collection: str, old: Path
) -> None:
    """What the old service knew is precedent: text, user, address, severity, time and the caller's own keys."""
    said = await imported(stack.server.url, old, collection)
    assert "11 items, 11 published, 0 skipped" in said
    await settled(wire)
    assert len(await wire.listed(collection)) == ITEMS
    assert await wire.found(collection, text="failed login 3 for admin from the office network", k=1) == ["item-3"]
    event = (await wire.entry(collection, "item-3"))["event"]
    assert event == {
        "id": "item-3",
        "collection": collection,
        "kind": "imported",
        "text": "failed login 3 for admin from the office network",
        "occurred_at": "2025-03-04T08:00:00.123Z",
        "severity": 4,
        "source": None,
        "user": "user3",
        "ip": "203.0.113.3",
        "attributes": {"shift": "night", "attempt": 3, "automatic": False},
    }


async def test_odd_values_are_kept_and_counted(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """No address, no user, a severity of 9, an id that is not allowed: the item is there, and the report says why."""
    said = await imported(stack.server.url, old, collection)
    await settled(wire)
    reply = await wire.search(collection, text="data sent to an unknown host", k=1)
    event = reply["hits"][0]["event"]
    assert (event["severity"], event["user"], event["ip"]) == (5, None, None)
    assert event["occurred_at"] == "2025-07-01T12:00:00.000Z"
    attributes = event["attributes"]
    [(renamed, original)] = json.loads(attributes.pop("old_keys")).items()
    assert original == "weird key"
    assert attributes == {
        "old_id": "odd one!",
        "user": "",
        "ip": "unknown",
        "severity": 9,
        "timestamp": 1751371200,
        renamed: "x",
    }
    assert "2  id is not allowed here" in said
    assert "1  ip is no address" in said
    assert await wire.dead_letters(collection) == []


async def test_rules_are_imported_as_rules_are_kept(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """The refined text is found; original text, category and severity word are attributes."""
    await imported(stack.server.url, old, collection, collection="refined_rules")
    await settled(wire)
    event = (await wire.entry(collection, "rule-1"))["event"]
    assert event["text"] == "Block an address after five failed logins in one minute"
    assert (event["kind"], event["severity"]) == ("auth", 4)
    assert event["attributes"] == {
        "original_text": "block after 5 fails",
        "category": "auth",
        "severity_label": "high",
    }
    assert (await wire.entry(collection, "rule-3"))["event"]["text"] == "only the original"


async def test_a_second_run_publishes_nothing(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """It asks the log, not the duplicate window: every publish has an id of its own, so the window stops none."""
    await imported(stack.server.url, old, collection)
    before = await wire.stored(1, subject=f"security.events.v1.{collection}.>")
    assert before is not None
    assert before.headers["Nats-Msg-Id"].startswith(f"{collection}:item-0:")
    last = (await wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["last_seq"]
    said = await imported(stack.server.url, old, collection)
    assert "0 published, 11 skipped" in said
    assert await wire.stored(last + 1, subject=f"security.events.v1.{collection}.>") is None


async def test_newer_revisions_and_deletions_stay(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """A later run takes back no revision, and brings back no deletion but when it is told to."""
    await imported(stack.server.url, old, collection)
    await wire.event(collection, "somebody knows better", id="item-1")
    await settled(wire)
    assert (await wire.of(collection, "delete", ids=["item-2"]))["deleted"] == ["item-2"]
    said = await imported(stack.server.url, old, collection)
    assert "0 published, 11 skipped" in said
    assert "1  it was deleted; --include-deleted brings it back" in said
    await settled(wire)
    assert (await wire.entry(collection, "item-1"))["event"]["text"] == "somebody knows better"
    assert "item-2" not in await wire.listed(collection)
    assert "1 published" in await imported(stack.server.url, old, collection, "--include-deleted")
    await settled(wire)
    assert "item-2" in await wire.listed(collection)


async def test_a_cleared_collection_stays_cleared(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """Clearing purges the events; the deletion that stays in the log holds later runs back."""
    await imported(stack.server.url, old, collection)
    await settled(wire)
    assert (await wire.of(collection, "clear", confirm=collection))["deleted"] == ITEMS
    said = await imported(stack.server.url, old, collection)
    assert "0 published, 11 skipped" in said
    assert "--include-cleared imports it all the same" in said
    assert "11 published" in await imported(stack.server.url, old, collection, "--include-cleared")


@pytest.mark.timeout(240)
async def test_what_was_purged_from_the_log_is_imported_again(
    wire: Wire, stack: Stack, collection: str, old: Path
) -> None:
    """The index follows a purge by hand; an import then finds the items in neither, and publishes them once."""
    await imported(stack.server.url, old, collection)
    await wire.event(collection, "a newer revision", id="item-1")
    await settled(wire)
    await wire.api("STREAM.PURGE.SECURITY_EVENTS", {"filter": f"security.events.v1.{collection}.>"})

    async def followed() -> None:
        assert await wire.listed(collection) == []

    await eventually(followed, timeout=120)
    assert "11 published" in await imported(stack.server.url, old, collection)
    assert "0 published, 11 skipped" in await imported(stack.server.url, old, collection)


async def test_a_dry_run_publishes_nothing(stack: Stack, wire: Wire, collection: str, old: Path) -> None:
    """It prints the counts and three of the events, each a subject and JSON."""
    said = await imported(stack.server.url, old, collection, "--dry-run", "--kind", "old.incident")
    assert said.startswith("dry run: nothing was published\n")
    assert "11 would be published" in said
    lines = said.splitlines()
    samples = [lines[number + 1] for number, line in enumerate(lines) if line.startswith("security.events.")]
    assert [json.loads(one)["id"] for one in samples] == ["item-0", "item-1", "item-2"]
    assert lines.count(f"security.events.v1.{collection}.old.incident") == 3
    assert await wire.stored(1, subject=f"security.events.v1.{collection}.>") is None


MANY = 3000
MAKE_MANY = """
import sys
from pathlib import Path
import numpy as np
from precedent_indexer.adapters.chroma.embedded import open_client
collection = open_client(Path(sys.argv[1])).create_collection("semantic_history", embedding_function=None)
for start in range(0, int(sys.argv[2]), 500):
    ids = [f"item-{number}" for number in range(start, start + 500)]
    collection.add(ids=ids, documents=[f"text of {one}" for one in ids], embeddings=np.ones((500, 2), np.float32))
"""


@pytest.fixture
async def many(server: NatsServer, tmp_path: Path, environment_python: Callable[[str], Path]) -> Path:
    """An old directory with so many items that one can step in, and a log without an indexer."""
    directory = tmp_path / "many"
    python = environment_python("services/indexer")
    making = await asyncio.create_subprocess_exec(python, "-c", MAKE_MANY, directory, str(MANY))
    assert await making.wait() == 0
    assert (await asyncio.to_thread(run_indexer_command, ["init"], {"NATS_URL": server.url})).returncode == 0
    return directory


async def started(server: NatsServer, own_wire: Wire, many: Path, tmp_path: Path) -> ChildProcess:
    """A run into `incidents` that has begun to publish; its copy is below `work`."""
    (tmp_path / "work").mkdir()
    running = ChildProcess("import-chroma", tmp_path / "import.log")
    arguments = ["import-chroma", str(many), "--collection", "semantic_history", "--to", "incidents"]
    environment = {"NATS_URL": server.url, "TMPDIR": str(tmp_path / "work")}
    running.spawn([INDEXER, *arguments], scrubbed_environment(environment))

    async def some_are_published() -> None:
        assert await messages_in_log(own_wire) >= 50

    await eventually(some_are_published, timeout=60, interval=0.01)
    return running


async def messages_in_log(wire: Wire) -> int:
    """How many there are."""
    return int((await wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]["messages"])


async def texts_in_log(wire: Wire) -> list[tuple[str, str]]:
    """Id and text of every event, in order."""
    found = []
    seq = 1
    while stored := await wire.stored(seq, subject="security.events.v1.incidents.>"):
        body = json.loads(stored.data)
        found.append((body["id"], body["text"]))
        seq = stored.seq + 1
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_a_run_that_is_stopped_is_gone_on_with(
    server: NatsServer, own_wire: Wire, tmp_path: Path, many: Path, how: signal.Signals
) -> None:
    """Stopped in the middle in whatever way, the next run publishes what is left and nothing twice."""
    running = await started(server, own_wire, many, tmp_path)
    running.send(how)
    code = await asyncio.to_thread(running.wait, 30)
    stopped_at = await messages_in_log(own_wire)
    assert 50 <= stopped_at < MANY, "it was over before it could be stopped"
    if how is signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert code == 1
        assert "run it again, and it goes on from there" in running.log_text()
        assert list((tmp_path / "work").iterdir()) == []
    said = await imported(server.url, many, "incidents")
    assert f"{MANY - stopped_at} published, {stopped_at} skipped" in said
    assert [one for one, _ in await texts_in_log(own_wire)] == [f"item-{number}" for number in range(MANY)]


async def test_who_publishes_the_same_ids_meanwhile_is_not_overtaken(
    server: NatsServer, own_wire: Wire, tmp_path: Path, many: Path
) -> None:
    """Newer revisions that come while the import runs are the last word, each in the log alone or after the old one."""
    running = await started(server, own_wire, many, tmp_path)
    while running.running:
        reached = await messages_in_log(own_wire)
        # Just before the import, at it, and behind it.
        for number in range(max(0, reached - 2), min(MANY, reached + 4)):
            await own_wire.event("incidents", "newer", id=f"item-{number}")
    assert running.wait(0) == 0, running.log_tail()
    events = await texts_in_log(own_wire)
    newer = {one for one, text in events if text == "newer"}
    assert len(newer) >= 3
    assert len(newer) < MANY
    latest = dict(events)
    assert latest == {f"item-{n}": "newer" if f"item-{n}" in newer else f"text of item-{n}" for n in range(MANY)}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere", "--collection", "semantic_history", "--to", "incidents"], "no directory nowhere"),
        (["{old}", "--collection", "history", "--to", "incidents"], "semantic_history (11 items)"),
        (["{old}", "--collection", "semantic_history", "--to", "Not Legal"], "--to is 'Not Legal'"),
        (["{old}", "--collection", "semantic_history", "--to", "incidents", "--kind", "A.B"], "--kind is 'A.B'"),
        (["{old}", "--collection", "semantic_history", "--to", "incidents", "--timezone", "Moon"], "--timezone is"),
    ],
)
async def test_what_is_wrong_is_named(stack: Stack, old: Path, arguments: list[str], reason: str) -> None:
    """A wrong path, collection, kind or zone ends the command with what exists or what is allowed."""
    words = [one.format(old=old) for one in arguments]
    done = await asyncio.to_thread(run_indexer_command, ["import-chroma", *words], {"NATS_URL": stack.server.url})
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


async def test_without_a_log_it_says_how_to_make_one(server: NatsServer, old: Path) -> None:
    """A server without the streams: nothing is created behind the operator's back."""
    done = await run(server.url, old, "incidents")
    assert done.returncode == 1
    assert "create it with `precedent-indexer init`" in done.stderr
