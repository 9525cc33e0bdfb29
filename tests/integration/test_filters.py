"""Filters through the wire: exact, and the same in every verb that takes one."""

import uuid
from typing import Any

import pytest
import pytest_asyncio

from harness.stack import Stack
from harness.wire import Wire

# By id; what a case expects is the ids that pass.
EVENTS: dict[str, dict[str, Any]] = {
    "a": {
        "text": "5000 failed logins for admin",
        "kind": "auth.brute_force",
        "severity": 4,
        "source": "sshd",
        "user": "admin",
        "ip": "192.0.2.1",
        "occurred_at": "2026-01-01T00:00:00Z",
        "attributes": {"port": 22, "tags": ["x", "y"], "tor": True, "score": 0.5, "host": "db-1"},
    },
    "b": {
        "text": "300 failed logins for root",
        "kind": "auth.brute_force.ssh",
        "severity": 3,
        "source": "sshd",
        "user": "root",
        "ip": "2001:db8::1",
        "occurred_at": "2026-01-02T00:00:00Z",
        "attributes": {"port": "22", "tags": ["y", "z"], "tor": 1, "score": 1},
    },
    "c": {
        "text": "port scan, 100% of the subnet",
        "kind": "authz",
        "severity": 1,
        "source": "ids",
        "ip": "192.0.3.255",
        "occurred_at": "2026-01-03T00:00:00Z",
        "attributes": {"tags": [], "score": 2.0},
    },
    "d": {"text": "a_b", "kind": "net", "occurred_at": "2026-01-03T00:00:00.001Z"},
}

CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "abcd"),
    ({"kinds": ["auth"]}, "ab"),
    ({"kinds": ["auth.brute_force"]}, "ab"),
    ({"kinds": ["auth.brute_force.ssh", "net"]}, "bd"),
    ({"kinds": ["auth.brute"]}, ""),
    ({"severity": {"min": 3}}, "ab"),
    ({"severity": {"max": 3}}, "bcd"),
    ({"severity": {"min": 3, "max": 3}}, "b"),
    ({"severity": {"min": 4, "max": 2}}, ""),
    ({"severity": {}}, "abcd"),
    ({"sources": ["sshd"]}, "ab"),
    ({"sources": ["SSHD"]}, ""),
    ({"users": ["admin", "root", "nobody"]}, "ab"),
    ({"ips": ["::ffff:192.0.2.1"]}, "a"),
    ({"ips": ["2001:DB8:0::1"]}, "b"),
    ({"networks": ["192.0.2.77/24"]}, "a"),
    ({"networks": ["192.0.2.0/23"]}, "ac"),
    ({"networks": ["0.0.0.0/0"]}, "ac"),
    ({"networks": ["::/0"]}, "b"),
    ({"networks": ["::ffff:0:0/96"]}, ""),
    ({"networks": ["2001:db8::/127", "192.0.3.255/32"]}, "bc"),
    ({"occurred_at": {"after": "2026-01-02T00:00:00Z"}}, "bcd"),
    ({"occurred_at": {"before": "2026-01-02T00:00:00Z"}}, "a"),
    ({"occurred_at": {"after": "2026-01-02T00:00:00+00:00", "before": "2026-01-03T01:00:00+01:00"}}, "b"),
    ({"occurred_at": {"after": "2026-01-03T00:00:00.001Z"}}, "d"),
    ({"attributes": {"port": 22}}, "a"),
    ({"attributes": {"port": 22.0}}, "a"),
    ({"attributes": {"port": "22"}}, "b"),
    ({"attributes": {"port": [22, "22"]}}, "ab"),
    ({"attributes": {"tor": True}}, "a"),
    ({"attributes": {"tor": 1}}, "b"),
    ({"attributes": {"tags": "y"}}, "ab"),
    ({"attributes": {"tags": ["x", "z"]}}, "ab"),
    ({"attributes": {"tags": "w"}}, ""),
    ({"attributes": {"score": 2}}, "c"),
    ({"attributes": {"score": 0.5, "port": 22}}, "a"),
    ({"attributes": {"host": "db"}}, ""),
    ({"contains": "failed logins for"}, "ab"),
    ({"contains": "Failed"}, ""),
    ({"contains": "0%"}, "c"),
    ({"contains": "a_b"}, "d"),
    ({"contains": "n, 1"}, "c"),
    ({"contains": "_"}, "d"),
    ({"verdicts": ["benign"]}, "c"),
    ({"verdicts": ["benign", "true_positive"]}, "bc"),
    ({"verdicts": ["unknown"]}, ""),
    ({"exclude_ids": ["a", "d"]}, "bc"),
    ({"exclude_ids": []}, "abcd"),
    ({"kinds": ["auth"], "users": ["root"], "severity": {"max": 3}, "contains": "root"}, "b"),
    ({"kinds": ["auth"], "users": ["root"], "severity": {"min": 4}}, ""),
    ({"users": [f"user-{number}" for number in range(999)] + ["root"]}, "b"),
    ({"kinds": [f"kind-{number}" for number in range(999)] + ["net"]}, "d"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(stack: Stack) -> str:
    """A collection with these events and two outcomes; no test changes it."""
    collection = f"test-{uuid.uuid4().hex[:12]}"
    async with Wire.connected(stack.server.url) as wire:
        for name, fields in EVENTS.items():
            await wire.event(collection, id=name, **fields)
        await wire.outcome(collection, "c", "unknown")
        await wire.outcome(collection, "c", "benign")
        await wire.covered(await wire.outcome(collection, "b", "true_positive"))
    return collection


@pytest.mark.parametrize(("wanted", "passing"), CASES)
async def test_exactly_the_right_events_pass(wire: Wire, filled: str, wanted: dict[str, Any], passing: str) -> None:
    """List, search and recurrence agree on who passes, whatever the similarity."""
    assert await wire.listed(filled, filter=wanted) == list(passing)
    assert set(await wire.found(filled, text="port scan", filter=wanted)) == set(passing)
    reply = await wire.of(filled, "recurrence", text="port scan", min_similarity=-1, filter=wanted)
    assert reply["total"] == len(passing)


async def test_a_filter_that_few_pass_still_finds_the_nearest(wire: Wire, collection: str) -> None:
    """The one event that passes is found although many nearer ones do not."""
    await wire.event(collection, "the coffee machine is broken", id="far", user="ana")
    for number in range(90):
        seq = await wire.event(collection, f"failed login number {number} for root", user="bob")
    hits = await wire.found(collection, text="failed login for root", filter={"users": ["ana"]}, min_seq=seq)
    assert hits == ["far"]
