"""Leaf nodes with streams of their own: the log alone acknowledges, and one log alone is asked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nats.errors
import pytest
import pytest_asyncio

from harness.indexer_process import IndexerProcess
from harness.leaf_nodes import HUB_DOMAIN, Topology, hub_and_leaf
from harness.waits import eventually
from harness.wire import LOG, Wire
from precedent_backend_adapter import Config, DeliveryUnknown, Precedent, SecurityEvent, Timeouts

EVENTS = ["security.events.v1.>", "security.deletions.v1.*"]
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def topology(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Topology]:
    """A hub with log and indexer, and a leaf whose messages reach the hub."""
    folder = tmp_path_factory.mktemp("leaf-nodes")
    with hub_and_leaf(folder) as running:
        indexer = IndexerProcess(running.hub.url, folder / "chroma", log_path=folder / "indexer.log")
        async with indexer, Wire.connected(running.leaf.url) as leaf:
            # By the hub's JetStream, through the leaf: the connection between the two holds.
            hub_log = f"$JS.{HUB_DOMAIN}.API.STREAM.INFO.{LOG}"
            await eventually(lambda: leaf.client.request(hub_log, timeout=1), timeout=20, exceptions=nats.errors.Error)
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def leaf_wire(topology: Topology) -> AsyncIterator[Wire]:
    """A plain connection to the leaf, whose streams are removed at the end."""
    async with Wire.connected(topology.leaf.url) as connected:
        yield connected
        for name in await connected.client.jetstream().streams_info():
            await connected.client.jetstream().delete_stream(str(name.config.name))


def event(number: int, text: str = "a login") -> SecurityEvent:
    """One of several."""
    return SecurityEvent(kind="auth.test", text=f"{text} {number}", id=f"{text.rsplit(maxsplit=1)[-1]}-{number}")


async def sequences(client: Precedent, text: str) -> list[int]:
    """What the receipts of twenty publishes say; each event is found by its own receipt."""
    receipts = [await client.publish(event(number, text)) for number in range(20)]
    answer = await client.search(f"{text} 19", k=30, after=receipts[-1])
    assert {receipt.id for receipt in receipts} <= {hit.event.id for hit in answer.hits}
    by_id = {hit.event.id: hit.seq for hit in answer.hits}
    assert [by_id[receipt.id] for receipt in receipts] == [receipt.seq for receipt in receipts]
    return [receipt.seq for receipt in receipts]


@pytest.mark.parametrize("name", ["AUDIT", LOG])
async def test_the_log_alone_acknowledges(topology: Topology, leaf_wire: Wire, name: str) -> None:
    """The leaf's stream takes the events as well, under another name or the same; receipts are the hub's all the same.

    From the hub, and from the leaf with the hub's domain; a refusal of the leaf's full stream is not believed either.
    """
    config: dict[str, Any] = {"name": name, "subjects": EVENTS, "max_msgs": 30, "discard": "new"}
    await leaf_wire.api(f"STREAM.CREATE.{name}", config)
    async with Precedent.connect(topology.hub.url) as at_the_hub:
        seqs = await sequences(at_the_hub, f"seen at the hub beside {name.lower()}")
    async with Precedent.connect(topology.leaf.url, config=Config(jetstream_domain=HUB_DOMAIN)) as at_the_leaf:
        seqs += await sequences(at_the_leaf, f"seen at the leaf beside {name.lower()}")
        # The indexer publishes too: it waits for the deletion that the log itself has.
        gone = f"{name.lower()}-19"
        assert (await at_the_leaf.delete([gone])).deleted == [gone]
    assert seqs == sorted(set(seqs))
    state = (await leaf_wire.api(f"STREAM.INFO.{name}"))["state"]
    # What the adapter publishes names the stream that it is for: one of another name refuses it, and stores deletions.
    assert state["messages"] == (30 if name == LOG else 1), "the leaf's stream took part, and was full in the end"


async def test_an_acknowledgement_of_another_domain_is_no_receipt(topology: Topology, leaf_wire: Wire) -> None:
    """A client that was told the wrong domain is told who did answer, and that the fate is unknown."""
    await leaf_wire.api(f"STREAM.CREATE.{LOG}", {"name": LOG, "subjects": EVENTS})
    config = Config(jetstream_domain="elsewhere", timeouts=Timeouts(publish=1.0, publish_attempt=0.9))
    async with Precedent.connect(topology.leaf.url, config=config) as client:
        with pytest.raises(DeliveryUnknown, match="jetstream_domain") as unknown:
            await client.publish(event(0, "an event for elsewhere"))
    assert "of JetStream domain leaf stored it" in str(unknown.value)


async def test_mirrors_and_sources_acknowledge_nothing(topology: Topology, leaf_wire: Wire) -> None:
    """Copies of the log on the leaf follow it, and receipts are the log's."""
    origin = {"name": LOG, "external": {"api": f"$JS.{HUB_DOMAIN}.API", "deliver": ""}}
    await leaf_wire.api("STREAM.CREATE.MIRROR", {"name": "MIRROR", "mirror": origin})
    await leaf_wire.api("STREAM.CREATE.SOURCING", {"name": "SOURCING", "sources": [origin]})
    async with Precedent.connect(topology.hub.url) as client:
        seqs = await sequences(client, "seen beside copies")

    async def copied() -> None:
        for name in ("MIRROR", "SOURCING"):
            assert (await leaf_wire.api(f"STREAM.INFO.{name}"))["state"]["messages"] >= len(seqs)

    await eventually(copied, timeout=20)


async def test_an_indexer_of_another_log_does_not_start_beside_one(
    topology: Topology, leaf_wire: Wire, tmp_path: Path
) -> None:
    """On the leaf it would answer half of the questions from the leaf's log: it refuses, and names the domain."""
    second = IndexerProcess(topology.leaf.url, tmp_path / "chroma", log_path=tmp_path / "second.log")
    second.start()
    assert await second.wait_exit(30) == 1
    assert "answers the same questions from another log (JetStream domain hub" in second.log_tail()


async def test_an_indexer_on_the_leaf_follows_the_log_of_the_hub(
    topology: Topology, leaf_wire: Wire, tmp_path: Path
) -> None:
    """With the hub's domain its own is the same log: the indexer that runs keeps it out for that reason alone."""
    second = IndexerProcess(
        topology.leaf.url,
        tmp_path / "chroma",
        env={"PRECEDENT_JETSTREAM_DOMAIN": HUB_DOMAIN},
        log_path=tmp_path / "second.log",
    )
    second.start()
    assert await second.wait_exit(30) == 1
    assert "one index has one writer" in second.log_tail()
