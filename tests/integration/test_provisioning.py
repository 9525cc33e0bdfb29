"""Streams and consumer: created as the contract says, left to the operator where it says so, refused otherwise."""

import asyncio
from typing import Any

import pytest

from harness.indexer_process import run_indexer_command
from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.wire import Wire

SECOND = 1_000_000_000

STREAM = {
    "storage": "file",
    "retention": "limits",
    "compression": "s2",
    "allow_direct": True,
    "duplicate_window": 600 * SECOND,
    "discard": "new",
}
EVENTS: dict[str, Any] = {
    **STREAM,
    "name": "SECURITY_EVENTS",
    "subjects": ["security.events.v1.>", "security.outcomes.v1.*", "security.deletions.v1.*"],
    "max_msg_size": 256 * 1024,
}
DEAD: dict[str, Any] = {
    **STREAM,
    "name": "SECURITY_DEAD_LETTERS",
    "subjects": ["security.dead.v1.>"],
    "max_msg_size": 512 * 1024,
}
CONSUMER: dict[str, Any] = {
    "durable_name": "indexer",
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": 60 * SECOND,
    "max_deliver": -1,
    "replay_policy": "instant",
}

# Every setting that must hold, changed; and how the message has to name it.
CONTRADICTIONS = {
    "storage": "memory",
    "retention": "interest",
    "compression": "none",
    "allow_direct": False,
    "duplicate_window": 120 * SECOND,
    "discard": "old",
    "max_msg_size": 1024,
}


async def create_stream(wire: Wire, config: dict[str, Any]) -> None:
    """Create it as given."""
    answer = await wire.api(f"STREAM.CREATE.{config['name']}", config)
    assert "error" not in answer, answer


async def create_consumer(wire: Wire, config: dict[str, Any]) -> None:
    """Create the consumer `indexer` as given."""
    body = {"stream_name": "SECURITY_EVENTS", "config": {"name": "indexer", **config}, "action": "create"}
    answer = await wire.api("CONSUMER.CREATE.SECURITY_EVENTS.indexer", body)
    assert "error" not in answer, answer


async def init(server: NatsServer) -> tuple[int, str]:
    """Run `init`; its exit code and what it said."""
    done = await asyncio.to_thread(run_indexer_command, ["init"], {"NATS_URL": server.url})
    return done.returncode, done.stdout + done.stderr


async def test_init_creates_both_streams_and_the_consumer_alone(server: NatsServer, own_wire: Wire) -> None:
    """All are exactly as the contract says, no service answers, and a second run finds nothing to do."""
    code, said = await init(server)
    assert code == 0, said
    for wanted in (EVENTS, DEAD):
        config = (await own_wire.api(f"STREAM.INFO.{wanted['name']}"))["config"]
        assert {key: config.get(key) for key in wanted} == wanted
    config = (await own_wire.api("CONSUMER.INFO.SECURITY_EVENTS.indexer"))["config"]
    assert {key: config.get(key) for key in CONSUMER} == CONSUMER
    assert not {"backoff", "filter_subject", "filter_subjects", "deliver_subject"} & config.keys()
    code, said = await init(server)
    assert code == 0, said


async def test_serve_creates_the_same_and_serves(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """On an empty server, `serve` alone is enough."""
    async with new_indexer():
        for wanted in (EVENTS, DEAD):
            config = (await own_wire.api(f"STREAM.INFO.{wanted['name']}"))["config"]
            assert {key: config.get(key) for key in wanted} == wanted
        config = (await own_wire.api("CONSUMER.INFO.SECURITY_EVENTS.indexer"))["config"]
        assert {key: config.get(key) for key in CONSUMER} == CONSUMER


@pytest.mark.parametrize("wanted", [EVENTS, DEAD], ids=["log", "dead-letters"])
async def test_every_contradiction_of_a_stream_is_named(
    wanted: dict[str, Any], server: NatsServer, own_wire: Wire
) -> None:
    """A stream that contradicts the contract is refused; one message names it and all the differences."""
    subjects = ["security.events.v1.>"] if wanted is EVENTS else ["security.dead.v1.incidents.*"]
    await create_stream(own_wire, {**wanted, **CONTRADICTIONS, "subjects": subjects})
    code, said = await init(server)
    assert code == 1
    assert wanted["name"] in said
    for name in (*CONTRADICTIONS, "subjects"):
        [line] = [line.strip() for line in said.splitlines() if line.strip().startswith(f"{name} is ")]
        assert ", must be " in line
    assert "duplicate_window is 120 s, must be 600 s" in said
    assert "nats stream edit" in said


async def test_serve_refuses_a_contradiction_too(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """One is enough: `serve` ends at once with the same message, blames no other setting and changes nothing."""
    await create_stream(own_wire, {**EVENTS, "discard": "old"})
    indexer = new_indexer()
    indexer.start()
    assert await indexer.wait_exit(30) == 1
    assert "discard is 'old', must be 'new'" in indexer.log_tail()
    assert indexer.log_tail().count(", must be ") == 1
    assert (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["config"]["discard"] == "old"


async def test_what_is_the_operators_is_left_alone(server: NatsServer, own_wire: Wire) -> None:
    """max_bytes, max_age, description and metadata are nobody else's business, nor is how far the consumer runs."""
    theirs = {"max_bytes": 10_000_000, "max_age": 86_400 * SECOND, "description": "ours", "metadata": {"team": "soc"}}
    await create_stream(own_wire, {**EVENTS, **theirs})
    await create_stream(own_wire, {**DEAD, **theirs})
    await create_consumer(own_wire, {**CONSUMER, "max_ack_pending": 77})
    code, said = await init(server)
    assert code == 0, said
    config = (await own_wire.api("STREAM.INFO.SECURITY_EVENTS"))["config"]
    assert {key: config[key] for key in ("max_bytes", "max_age", "description")} == {
        key: theirs[key] for key in ("max_bytes", "max_age", "description")
    }
    assert config["metadata"]["team"] == "soc"
    assert (await own_wire.api("CONSUMER.INFO.SECURITY_EVENTS.indexer"))["config"]["max_ack_pending"] == 77


async def test_a_foreign_consumer_is_refused(server: NatsServer, own_wire: Wire) -> None:
    """A consumer of that name with other settings is refused; the message names all of them and the remedy."""
    await create_stream(own_wire, EVENTS)
    changes = {
        "ack_wait": 30 * SECOND,
        "max_deliver": 5,
        "backoff": [30 * SECOND, 60 * SECOND],
        "filter_subject": "security.events.v1.incidents.>",
    }
    await create_consumer(own_wire, {**CONSUMER, **changes})
    code, said = await init(server)
    assert code == 1
    for name in changes:
        assert f"{name} is " in said
    assert "ack_wait is 30 s, must be 60 s" in said
    assert "nats consumer rm SECURITY_EVENTS indexer" in said


async def test_a_push_consumer_is_refused(server: NatsServer, own_wire: Wire) -> None:
    """A consumer that pushes, and one that acknowledges in bulk, cannot feed the index."""
    await create_stream(own_wire, EVENTS)
    await create_consumer(own_wire, {**CONSUMER, "ack_policy": "all", "deliver_subject": "elsewhere"})
    code, said = await init(server)
    assert code == 1
    assert "ack_policy is 'all', must be 'explicit'" in said
    assert "deliver_subject is 'elsewhere', must not be set" in said
