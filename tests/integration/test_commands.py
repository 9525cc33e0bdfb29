"""The commands beside `serve`: what they say and how they exit."""

import asyncio
import json
import subprocess

from harness.indexer_process import run_indexer_command
from harness.stack import NewIndexer, Stack
from harness.waits import free_port
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
        assert done.returncode == 1
        for name in wrong.keys() - {"NATS_PASSWORD"}:
            assert name in done.stderr
        assert "/no/such/file" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


async def test_an_unknown_command_is_2() -> None:
    """Wrong arguments have an exit code of their own."""
    assert (await run("sreve")).returncode == 2
    assert (await run("health", "--timeout", "soon")).returncode == 2
