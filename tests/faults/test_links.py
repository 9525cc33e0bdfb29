"""A link that is cut or hangs: whoever published is told the truth, and whoever asked is told that nobody answered."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger, Version
from faults.load import Load
from faults.publishing import Publisher
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.stack import NewIndexer
from harness.wire import Wire
from precedent_backend_adapter import Config, Precedent, SecurityEvent, Timeouts, Unavailable
from precedent_backend_adapter.errors import DeliveryUnknown, NotDelivered

COLLECTION = "incidents"


@pytest.fixture
async def relay(server: NatsServer) -> AsyncIterator[TcpRelay]:
    """A link to the test's own server that can be cut."""
    async with TcpRelay(server.port) as link:
        yield link


async def cut_for_a_moment(relay: TcpRelay, seconds: float) -> None:
    """Cut the link, and let it be restored."""
    await relay.cut()
    await asyncio.sleep(seconds)
    await relay.restore()


async def test_the_publishers_link_is_cut_in_mid_publish(
    relay: TcpRelay, own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger, publisher: Publisher
) -> None:
    """Through cuts of its link the adapter stores every event once; only what it calls unknown may be there or not."""

    async def publish(client: Precedent, number: int) -> None:
        event = SecurityEvent(kind="fault", text=publisher.text(), id=f"cut-{number}")
        ledger.unsure[COLLECTION, f"cut-{number}"] = event.text
        try:
            receipt = await client.publish(event)
        except NotDelivered:
            del ledger.unsure[COLLECTION, f"cut-{number}"]
        except DeliveryUnknown:
            return
        else:
            ledger.publish((COLLECTION, receipt.id), Version(event.text, receipt.seq))

    async with new_indexer():
        patient = Config(timeouts=Timeouts(publish=20.0, publish_attempt=0.5))
        hasty = Config(timeouts=Timeouts(publish=0.2, publish_attempt=0.1))
        for round_, (config, away) in enumerate(((patient, 0.3), (hasty, 0.5))):
            async with Precedent.connect(relay.url, config=config) as client, asyncio.TaskGroup() as group:
                for number in range(300):
                    group.create_task(publish(client, 1000 * round_ + number))
                    if number % 100 == 50:
                        await cut_for_a_moment(relay, away)
                    await asyncio.sleep(0)
        assert sum(name.startswith("cut-") for _, name in ledger.events) >= 300, "the patient one was told less"
        await holds(own_wire, ledger)


async def test_the_askers_link_is_cut_in_mid_question(
    relay: TcpRelay, own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """Who asks over a link that is cut hears that nobody answers, in its own time, and asks again when it is back."""
    indexer, orders = new_rigged()
    async with indexer:
        await publisher.events(20)
        await own_wire.covered(20)
        config = Config(timeouts=Timeouts(question=2.0))
        async with Precedent.connect(relay.url, config=config) as client:
            orders.give(embed_delay_s=1)
            asked = asyncio.create_task(client.search("a question in flight"))
            await asyncio.sleep(0.1)
            await relay.cut()
            with pytest.raises(Unavailable):
                await asked
            orders.lift()
            await relay.restore()
            assert (await client.search("a question again")).hits
        await holds(own_wire, ledger)


async def test_the_indexers_link_is_cut_and_hangs_under_load(
    server: NatsServer, relay: TcpRelay, own_wire: Wire, new_rigged: NewRigged, ledger: Ledger
) -> None:
    """Cut off while it fetches, settles and answers, the same process goes on when the link is back."""
    dice = random.Random(1)
    indexer, _ = new_rigged(url=relay.url)
    async with indexer:
        pid = indexer.pid
        async with Load(own_wire, ledger, 1, per_second=150):
            for _ in range(3):
                await asyncio.sleep(dice.uniform(0.2, 0.7))
                await cut_for_a_moment(relay, dice.uniform(0, 0.5))
            await asyncio.sleep(0.3)
            relay.stall()
            await asyncio.sleep(2)
            relay.resume()
        await holds(own_wire, ledger)
        assert (indexer.pid, indexer.returncode) == (pid, None)
