"""The service as the framework of NATS shows it: PING, INFO, STATS."""

import json

from harness.stack import Stack
from harness.waits import eventually
from harness.wire import Wire


async def test_ping_names_the_process(wire: Wire, stack: Stack) -> None:
    """PING answers with the service's name, a version and the pid of the process behind it."""
    ping = await wire.ask("$SRV.PING.indexer")
    assert ping["type"] == "io.nats.micro.v1.ping_response"
    assert ping["name"] == "indexer"
    assert len(ping["version"].split(".")) == 3
    assert ping["metadata"]["pid"] == str(stack.indexer.pid)
    assert (await wire.ask("$SRV.PING"))["name"] == "indexer"


async def test_info_describes_every_endpoint(wire: Wire) -> None:
    """Every endpoint has a subject, the queue group, a sentence, and both schemas as strings of JSON."""
    info = await wire.ask("$SRV.INFO.indexer")
    assert info["description"]
    subjects = {endpoint["name"]: endpoint["subject"] for endpoint in info["endpoints"]}
    assert (
        subjects.items()
        >= {
            "search": "security.index.v1.*.search",
            "recurrence": "security.index.v1.*.recurrence",
            "get": "security.index.v1.*.get",
            "list": "security.index.v1.*.list",
            "delete": "security.index.v1.*.delete",
            "clear": "security.index.v1.*.clear",
            "collection-stats": "security.index.v1.*.stats",
            "stats": "security.index.v1.stats",
        }.items()
    )
    for endpoint in info["endpoints"]:
        metadata = endpoint["metadata"]
        assert endpoint["queue_group"] == "q"
        assert metadata["description"].endswith(".")
        assert {json.loads(metadata[f"{way}_schema"])["type"] for way in ("request", "reply")} == {"object"}


async def test_stats_count_answers_and_errors(wire: Wire, collection: str) -> None:
    """One answered and one refused question are two requests and one error, and the last error is named."""

    async def search_stats() -> dict[str, int | str]:
        endpoints = (await wire.ask("$SRV.STATS.indexer"))["endpoints"]
        found: dict[str, int | str] = next(one for one in endpoints if one["name"] == "search")
        return found

    seq = await wire.event(collection, "a disk is full")
    before = await search_stats()
    await wire.search(collection, text="disk", min_seq=seq)
    await wire.refused(f"security.index.v1.{collection}.search", {"text": "disk", "k": 0})

    async def counted() -> None:
        after = await search_stats()
        assert int(after["num_requests"]) - int(before["num_requests"]) == 2
        assert int(after["num_errors"]) - int(before["num_errors"]) == 1
        assert "400" in str(after["last_error"])
        assert int(after["processing_time"]) > int(before["processing_time"])

    await eventually(counted, timeout=10)


async def test_the_services_own_stats_agree_with_the_servers(wire: Wire, collection: str) -> None:
    """Collections with their counts, and the log as JetStream itself describes it."""
    await wire.covered(await wire.event(collection, "a disk is full"))
    await wire.all_settled()
    stats = await wire.stats()
    state = (await wire.api("STREAM.INFO.SECURITY_EVENTS"))["state"]
    assert stats["stream"] == {key: state[key] for key in ("last_seq", "messages", "bytes")}
    assert stats["indexed_seq"] == stats["stream_seq"] == state["last_seq"]
    assert (stats["pending"], stats["ack_pending"], stats["redelivered"]) == (0, 0, 0)
    dead = (await wire.api("STREAM.INFO.SECURITY_DEAD_LETTERS"))["state"]["messages"]
    assert stats["dead_letters"] == dead
    assert stats["collections"][collection] == {"count": 1}
    assert {"incidents", "rules"} <= stats["collections"].keys()
    assert stats["model"]["runtime"]
