"""Every setting of a stream, on a real server: required, refused or tolerated, at a start and while it runs."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.indexer_process import run_indexer_command
from harness.nats_server import NatsServer
from harness.stack import NewIndexer
from harness.waits import eventually
from harness.wire import CONSUMER, LOG, Wire
from precedent_schemas.streams import EVENTS_STREAM_CONFIG, STREAM_SETTINGS, Rule

INSIDE = Path(__file__).with_name("inside") / "stream_settings.py"
MIRROR = {"mirror": {"name": "SECURITY_DEAD_LETTERS"}, "subjects": None, "duplicate_window": None}
OTHERWISE: dict[str, dict[str, Any]] = {
    "subjects": {"subjects": ["security.events.v1.>"]},
    "storage": {"storage": "memory"},
    "retention": {"retention": "interest"},
    "discard": {"discard": "old"},
    "max_msg_size": {"max_msg_size": 1000},
    "duplicate_window": {"duplicate_window": 120 * 10**9},
    "compression": {"compression": "none"},
    "allow_direct": {"allow_direct": False},
    "no_ack": {"no_ack": True},
    "sealed": {"sealed": True},
    "mirror": MIRROR,
    "deny_delete": {"deny_delete": True},
    "deny_purge": {"deny_purge": True},
    "max_msgs_per_subject": {"max_msgs_per_subject": 1},
    "discard_new_per_subject": {"discard_new_per_subject": True, "max_msgs_per_subject": 1},
    "allow_rollup_hdrs": {"allow_rollup_hdrs": True},
    "subject_transform": {"subject_transform": {"src": "security.events.v1.a1.>", "dest": "security.events.v1.b1.>"}},
    "republish": {"republish": {"src": ">", "dest": "copies.>"}},
    "subject_delete_marker_ttl": {"subject_delete_marker_ttl": 60 * 10**9, "allow_rollup_hdrs": True},
    "allow_msg_counter": {"allow_msg_counter": True, "discard": "old", "duplicate_window": None},
    "allow_msg_schedules": {"allow_msg_schedules": True, "allow_rollup_hdrs": True, "discard": "old"},
    "persist_mode": {"persist_mode": "async"},
    "max_bytes": {"max_bytes": 10**7},
    "max_msgs": {"max_msgs": 1000},
    "max_age": {"max_age": 3600 * 10**9},
    "allow_msg_ttl": {"allow_msg_ttl": True},
    "placement": {"placement": {"tags": []}},
    "sources": {"sources": [{"name": "ELSEWHERE"}]},
    "mirror_direct": {},
    "first_seq": {"first_seq": 100},
    "max_consumers": {"max_consumers": 3},
    "consumer_limits": {"consumer_limits": {"max_ack_pending": 5000}},
    "allow_atomic": {"allow_atomic": True},
    "allow_batched": {"allow_batched": True},
    "description": {"description": "the log"},
    "metadata": {"metadata": {"team": "soc"}},
}
"""Each setting otherwise than the indexer makes it, with what the server demands beside it."""
ONLY_ELSEWHERE = {"name", "num_replicas"}
"""A stream of another name is another stream, and replicas need a cluster: `cluster/` has them."""


async def test_every_setting_is_checked_at_the_start(
    server: NatsServer, environment_python: Callable[[str], Path]
) -> None:
    """A stream is made with each: the start names what contradicts a promise, with its reason, and passes the rest."""
    assert {one.name for one in STREAM_SETTINGS} == OTHERWISE.keys() | ONLY_ELSEWHERE
    settings = [one for one in STREAM_SETTINGS if one.name not in ONLY_ELSEWHERE]
    process = await asyncio.create_subprocess_exec(
        environment_python("services/indexer"),
        INSIDE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"NATS_URL": server.url},
    )
    out, _ = await process.communicate(json.dumps([OTHERWISE[one.name] for one in settings]).encode())
    for setting, said in zip(settings, json.loads(out.splitlines()[-1]), strict=True):
        if setting.rule is Rule.TOLERATED:
            assert said is None, setting.name
        else:
            must = "must be" if setting.rule is Rule.REQUIRED else "must not be set"
            lines = [line for line in (said or "").splitlines() if line.strip().startswith(f"{setting.name} is ")]
            assert [must in line and setting.reason in line for line in lines] == [True], (setting.name, said)


async def test_settings_that_are_edited_while_it_runs_are_said(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Within moments `health` fails and names each; changed back, it is healthy, and events came in all the while."""
    edits = ("max_msgs_per_subject", "allow_rollup_hdrs", "republish", "discard_new_per_subject")
    changes: dict[str, Any] = {}
    for name in edits:
        changes |= OTHERWISE[name]

    async def stats_say(state: str, *parts: str) -> None:
        stats = await own_wire.stats()
        assert stats["state"] == state
        assert not [one for one in parts if one not in stats["fault"]]

    async with new_indexer() as indexer:
        asked = {"NATS_URL": indexer.nats_url}
        assert "error" not in await own_wire.api(f"STREAM.UPDATE.{LOG}", EVENTS_STREAM_CONFIG | changes)
        pause = {"pause_until": "2100-01-01T00:00:00Z"}
        assert (await own_wire.api(f"CONSUMER.PAUSE.{LOG}.{CONSUMER}", pause))["paused"]
        await eventually(lambda: stats_say("misconfigured", *edits, "paused"), timeout=30)
        unhealthy = await asyncio.to_thread(run_indexer_command, ["health"], env=asked)
        assert unhealthy.returncode == 1
        assert "max_msgs_per_subject is 1, must not be set" in unhealthy.stdout
        assert not (await own_wire.api(f"CONSUMER.PAUSE.{LOG}.{CONSUMER}", {}))["paused"]
        assert "error" not in await own_wire.api(f"STREAM.UPDATE.{LOG}", EVENTS_STREAM_CONFIG)
        await own_wire.covered(await own_wire.event("incidents", "an event", id="a"))
        await eventually(lambda: stats_say("serving"), timeout=30)


async def test_small_limits_of_the_consumer_are_kept(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """Its bounds on pull requests are taken over from the server's words, which the log has; events are indexed."""
    indexer = new_indexer()
    await asyncio.to_thread(run_indexer_command, ["init"], env={"NATS_URL": indexer.nats_url})
    config = (await own_wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}"))["config"]
    limited = {"stream_name": LOG, "config": config | {"max_batch": 4, "max_expires": 5 * 10**9}, "action": "update"}
    assert "error" not in await own_wire.api(f"CONSUMER.CREATE.{LOG}.{CONSUMER}", limited)
    async with indexer:
        last = [await own_wire.event("incidents", f"event {number}", id=f"e{number}") for number in range(50)][-1]
        await own_wire.covered(last)
        words = [entry["said"] for entry in indexer.logs() if entry.get("event") == "pull_refused"]
        assert [one for one in words if "MaxRequestBatch of 4" in one]
