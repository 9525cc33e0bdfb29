"""The commands beside `serve`: what they say and how they exit."""

import asyncio
import json
import subprocess

from harness.indexer_process import run_indexer_command
from harness.stack import NewIndexer, Stack
from harness.waits import eventually, free_port
from harness.wire import Wire

SETTINGS = {
    "NATS_URL",
    "NATS_CREDS",
    "NATS_NKEY",
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_CA",
    "NATS_CERT",
    "NATS_KEY",
    "NATS_INBOX_PREFIX",
    "PRECEDENT_CHROMA_PATH",
    "PRECEDENT_CHROMA_URL",
    "PRECEDENT_METRICS_PORT",
    "PRECEDENT_LOG_LEVEL",
    "PRECEDENT_LOG_FORMAT",
}


async def run(*args: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command beside the event loop."""
    return await asyncio.to_thread(run_indexer_command, args, settings)


async def test_health_is_0_while_serving(stack: Stack, wire: Wire) -> None:
    """A serving indexer that has caught up is healthy, and the line says where it is."""
    last = (await wire.stats())["stream_seq"]
    await wire.covered(last)
    done = await run("health", NATS_URL=stack.server.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("healthy")
    assert f"indexed_seq {last}" in done.stdout


async def test_health_is_1_without_an_indexer(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A server on which nobody answers, and one whose indexer hangs, are unhealthy."""
    indexer = new_indexer()
    done = await run("health", "--timeout", "1", NATS_URL=indexer.nats_url)
    assert done.returncode == 1
    assert done.stdout.startswith("unhealthy")
    async with indexer:
        assert (await run("health", NATS_URL=indexer.nats_url)).returncode == 0
        indexer.pause()
        assert (await run("health", "--timeout", "1", NATS_URL=indexer.nats_url)).returncode == 1
        indexer.resume()


async def test_health_names_what_holds_the_index_back(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """A dead-letter stream that is full is named at once, not only its lag; with room again, all is well by itself."""
    dead = "SECURITY_DEAD_LETTERS"

    async def allow(messages: int) -> None:
        config = (await own_wire.api(f"STREAM.INFO.{dead}"))["config"]
        assert "error" not in await own_wire.api(f"STREAM.UPDATE.{dead}", config | {"max_msgs": messages})

    async with new_indexer() as indexer:
        await own_wire.covered(await own_wire.publish("security.events.v1.incidents.test", b"{"))
        await allow(1)
        held_up = await own_wire.publish("security.events.v1.incidents.test", b"{")

        async def said() -> None:
            done = await run("health", NATS_URL=indexer.nats_url)
            assert done.returncode == 1
            assert "unavailable: the dead-letter stream refuses messages" in done.stdout, done.stdout

        await eventually(said, timeout=40, attempt_timeout=20)
        await allow(-1)
        await own_wire.covered(held_up)
        assert (await run("health", NATS_URL=indexer.nats_url)).returncode == 0


async def test_health_is_1_without_a_server() -> None:
    """Nobody listens at all: unhealthy, with the address."""
    url = f"nats://127.0.0.1:{free_port()}"
    done = await run("health", "--timeout", "1", NATS_URL=url)
    assert done.returncode == 1
    assert url in done.stdout
    assert "Traceback" not in done.stderr


async def test_serve_without_a_server_says_which_and_ends(new_indexer: NewIndexer) -> None:
    """The start is bounded, and the message names the address and the setting."""
    url = f"nats://127.0.0.1:{free_port()}"
    indexer = new_indexer(NATS_URL=url, PRECEDENT_START_TIMEOUT_S="0.5")
    indexer.start()
    assert await indexer.wait_exit(30) == 1
    assert f"NATS_URL={url}" in indexer.log_tail()
    assert "Traceback" not in indexer.log_tail()


async def test_settings_lists_all_of_them() -> None:
    """Every setting of the contract is there with its value, its default and its meaning."""
    done = await run("settings", "--format", "json", PRECEDENT_LOG_LEVEL="warning")
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows.keys() >= SETTINGS
    assert all(name.startswith(("NATS_", "PRECEDENT_")) for name in rows)
    assert all(row["description"] for row in rows.values())
    assert (rows["PRECEDENT_LOG_LEVEL"]["value"], rows["PRECEDENT_LOG_LEVEL"]["default"]) == ("warning", "info")
    assert rows["NATS_URL"]["default"] == "nats://127.0.0.1:4222"
    assert rows["PRECEDENT_CHROMA_PATH"]["default"] in {"./data/chroma", "data/chroma"}


async def test_settings_masks_secrets() -> None:
    """A password is shown in no form, neither alone nor in a URL."""
    secrets = {"NATS_USER": "ana", "NATS_PASSWORD": "hunter2", "NATS_URL": "nats://bob:hunter3@127.0.0.1:4222"}
    for form in ("json", "table", "markdown"):
        done = await run("settings", "--format", form, **secrets)
        assert done.returncode == 0, done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "hunter3" not in done.stdout + done.stderr


async def test_wrong_settings_are_all_named_at_once(new_indexer: NewIndexer) -> None:
    """One message has every problem, and neither a traceback nor a secret."""
    wrong = {
        "PRECEDENT_BATCH_SIZE": "many",
        "PRECEDENT_LOG_LEVEL": "loud",
        "PRECEDENT_METRICS_PORT": "99999",
        "NATS_CREDS": "/no/such/file",
        "NATS_PASSWORD": "hunter2",
    }
    for command in ("settings", "serve", "init"):
        done = await run(command, **wrong)
        assert done.returncode == 2
        for name in wrong.keys() - {"NATS_PASSWORD"}:
            assert name in done.stderr
        assert "/no/such/file" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


async def test_an_unknown_command_is_2() -> None:
    """Wrong arguments have an exit code of their own."""
    assert (await run("sreve")).returncode == 2
    assert (await run("health", "--timeout", "soon")).returncode == 2


async def test_dead_letters_are_listed_shown_replayed_and_dropped(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """The whole life of dead letters by the command: sequences, exit codes, JSON and tables."""
    indexer = new_indexer(PRECEDENT_MAX_COLLECTIONS="2")
    async with indexer:
        malformed = await own_wire.publish("security.events.v1.incidents.test", b"\x1b[31m{")
        beyond = await own_wire.event("third", "one collection too many", id="a")
        await own_wire.covered(beyond)

        async def dead(*args: str) -> subprocess.CompletedProcess[str]:
            return await run("dead-letters", *args, NATS_URL=indexer.nats_url)

        listed = await dead("list")
        assert listed.returncode == 0, listed.stderr
        starts = [line.split()[0] for line in listed.stdout.splitlines()]
        assert [one for one in starts if one.isdigit()] == [str(beyond), str(malformed)]
        assert "unprocessable" in listed.stdout
        [newest] = json.loads((await dead("list", "--limit", "1", "--json")).stdout)["dead_letters"]
        assert newest["seq"] == beyond

        shown = await dead("show", str(malformed), "4711")
        assert shown.returncode == 3
        assert "not there: 4711" in shown.stderr
        assert r"\x1b[31m{" in shown.stdout
        assert "\x1b" not in shown.stdout

        replayed = await dead("replay", str(beyond))
        assert replayed.returncode == 0, replayed.stderr
        assert "published anew at" in replayed.stdout
        dropped = await dead("drop", str(malformed), "--json")
        assert json.loads(dropped.stdout) == {"dropped": [malformed], "missing": []}
        await own_wire.covered((await own_wire.stats())["stream_seq"])
        [left] = json.loads((await dead("list", "--json")).stdout)["dead_letters"]
        assert left["subject"] == "security.events.v1.third.test"
        assert (await dead("drop", str(left["seq"]))).returncode == 0
        assert (await dead("list")).stdout.strip() == "no dead letters"


async def test_dead_letters_without_an_indexer_say_so(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Nobody answers: exit 1, the address and what to start."""
    indexer = new_indexer()
    done = await run("dead-letters", "list", NATS_URL=indexer.nats_url)
    assert done.returncode == 1
    assert indexer.nats_url in done.stderr
    assert "precedent-indexer serve" in done.stderr
    assert "Traceback" not in done.stderr


async def test_every_command_explains_itself() -> None:
    """Each command and each option has a help text; none shows markup of its own making."""
    top = await run("--help")
    assert top.returncode == 0, top.stderr
    for command in ("serve", "init", "health", "rebuild", "verify", "dead-letters", "import-chroma", "settings"):
        assert command in top.stdout
        assert (await run(*command.split(), "--help")).returncode == 0
    assert "--repair" in (await run("verify", "--help")).stdout
    group = (await run("dead-letters", "--help")).stdout
    for verb in ("list", "show", "replay", "drop"):
        assert verb in group
        assert "SEQ" in (await run("dead-letters", verb, "--help")).stdout or verb == "list"
