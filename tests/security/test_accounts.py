"""Two tenants on one server: each in an account of its own, with an indexer of its own, under mutual TLS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from closed_nats.certificates import Pair, make_authority, make_client
from harness.indexer_process import run_indexer_command
from precedent_backend_adapter import NotTrusted, PrecedentError, SecurityEvent
from security.closed_bus import INDEX_WAIT, NEVER, TWO_TENANTS, WAIT, ClosedBus, ClosedStack, closed_bus, closed_stack

NORTH, SOUTH = "NORTH", "SOUTH"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True, slots=True)
class Tenants:
    """Both, running on one server."""

    bus: ClosedBus
    north: ClosedStack
    south: ClosedStack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tenants(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Tenants]:
    """The shipped example."""
    folder = tmp_path_factory.mktemp("tenants")
    with closed_bus(folder / "keys", TWO_TENANTS) as bus:
        async with (
            closed_stack(bus, folder / "north", NORTH) as north,
            closed_stack(bus, folder / "south", SOUTH) as south,
        ):
            yield Tenants(bus, north, south)
            assert north.denied() == south.denied() == []


async def asked(client: Client, subject: str) -> dict[str, object]:
    """An answer in JSON."""
    answer: dict[str, object] = json.loads((await client.request(subject, timeout=WAIT)).data)
    return answer


async def test_an_event_stays_with_its_tenant(tenants: Tenants) -> None:
    """The same id in both is two events; neither finds the other's, counts it, or deletes it."""
    bus = tenants.bus
    async with (
        bus.precedent("backend", NORTH) as north_backend,
        bus.precedent("backend", SOUTH) as south_backend,
        bus.precedent("analyst", NORTH) as north,
        bus.precedent("analyst", SOUTH) as south,
        bus.precedent("operator", SOUTH) as south_operator,
    ):
        secret = SecurityEvent(kind="auth", id="same-id", text="the north's admin fell for a phishing mail")
        harmless = SecurityEvent(kind="auth", id="same-id", text="a backup job ended late in the south")
        there = await north_backend.publish(secret)
        here = await south_backend.publish(harmless)
        found = await north.search("phishing", after=there, wait=INDEX_WAIT)
        assert [hit.event.text for hit in found.hits] == [secret.text]
        found = await south.search("phishing", after=here, wait=INDEX_WAIT)
        assert [hit.event.text for hit in found.hits] == [harmless.text]
        assert (await south.collection_stats()).count == 1

        await south_operator.delete(["same-id"])
        assert [entry.event.text for entry in (await north.get(["same-id"])).events] == [secret.text]


async def test_streams_and_services_are_each_tenants_own(tenants: Tenants) -> None:
    """The log, its sequence and the one service that answers are those of the account."""
    identities = set()
    for account in (NORTH, SOUTH):
        async with tenants.bus.client("viewer", account) as (viewer, _):
            streams = await asked(viewer, "$JS.API.STREAM.NAMES")
            assert sorted(streams["streams"]) == ["SECURITY_DEAD_LETTERS", "SECURITY_EVENTS"]  # type: ignore[call-overload]
            inbox = viewer.new_inbox()
            answers = await viewer.subscribe(inbox)
            await viewer.publish("$SRV.PING", reply=inbox)
            identities.add(json.loads((await answers.next_msg(timeout=WAIT)).data)["id"])
            # The other's answer would come with the next turn of the server, were there one.
            await asked(viewer, "$SRV.PING.indexer")
            with pytest.raises(nats.errors.TimeoutError):
                await answers.next_msg(timeout=0.1)
    assert len(identities) == 2


async def test_a_certificate_is_asked_for(tenants: Tenants) -> None:
    """Under mutual TLS a key alone opens nothing, and both sides say so at once."""
    without = {"NATS_CERT": "", "NATS_KEY": ""}
    with pytest.raises(NotTrusted, match=r"asks for a certificate.*cert_file"):
        async with tenants.bus.precedent("backend", NORTH, **without):
            pass
    settings = tenants.bus.settings("operator", NORTH, PRECEDENT_START_TIMEOUT_S=str(NEVER), **without)
    done = await asyncio.to_thread(run_indexer_command, ["init"], settings)
    assert done.returncode == 3
    assert "NATS_CERT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("fault", ["of another authority", "expired"])
async def test_a_certificate_that_is_not_taken(tenants: Tenants, tmp_path: Path, fault: str) -> None:
    """The right key with a wrong certificate opens nothing; both sides say at once which file to look at."""
    authority = Pair(tenants.bus.directory / "tls" / "ca.pem", tenants.bus.directory / "tls" / "ca.key")
    if fault == "of another authority":
        authority = Pair(tmp_path / "other.pem", tmp_path / "other.key")
        make_authority(authority)
    wrong = Pair(tmp_path / "wrong.pem", tmp_path / "wrong.key")
    make_client(wrong, authority, "backend", days=-1 if fault == "expired" else 1)
    changes = {"NATS_CERT": str(wrong.cert), "NATS_KEY": str(wrong.key)}
    with pytest.raises(PrecedentError, match=r"does the server take the certificate of tls\.cert_file"):
        async with tenants.bus.precedent("backend", NORTH, **changes):
            pass
    settings = tenants.bus.settings("operator", NORTH, PRECEDENT_START_TIMEOUT_S=str(NEVER), **changes)
    done = await asyncio.to_thread(run_indexer_command, ["init"], settings)
    assert done.returncode == 3
    assert f"does the server take the certificate NATS_CERT={wrong.cert}" in done.stderr
    assert "Traceback" not in done.stderr
