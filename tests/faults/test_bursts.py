"""Work that takes longer than the server waits for it."""

import asyncio
import os

import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.waits import eventually
from harness.wire import CONSUMER, LOG, Wire

USUAL_ACK_WAIT_S = 60
ACK_WAIT_S = 1
"""What the consumer is set to while it is in use."""
ACK_WAITS = [ACK_WAIT_S, USUAL_ACK_WAIT_S] if os.environ.get("FAULTS_LONG") else [ACK_WAIT_S]


async def hurry(wire: Wire) -> None:
    """Let the server redeliver what is not settled after a second."""
    config = (await wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}"))["config"]
    request = {"stream_name": LOG, "config": config | {"ack_wait": ACK_WAIT_S * 10**9}, "action": "update"}
    assert "error" not in await wire.api(f"CONSUMER.CREATE.{LOG}.{CONSUMER}", request)


async def redelivered(wire: Wire) -> None:
    """Wait until the server has delivered something again."""

    async def probe() -> None:
        info = await wire.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}")
        assert info["num_redelivered"] > 0, info

    await eventually(probe, timeout=30)


async def test_a_burst_that_takes_longer_than_ack_wait(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """A burst of which every batch takes longer to index than the server waits is indexed, each event once."""
    indexer, orders = new_rigged(PRECEDENT_BATCH_SIZE="64")
    async with indexer:
        await hurry(own_wire)
        orders.give(embed_delay_s=0.03)
        names = await publisher.events(250)
        await redelivered(own_wire)
        orders.lift()
        await publisher.revise(names[:20])
        await holds(own_wire, ledger)
        await own_wire.all_settled()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("ack_wait_s", ACK_WAITS)
async def test_an_indexer_that_is_frozen_for_longer_than_ack_wait(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher, ack_wait_s: int
) -> None:
    """Frozen with messages in hand until the server has given up on them, it finds each once when it goes on."""
    indexer, orders = new_rigged()
    async with indexer:
        if ack_wait_s < USUAL_ACK_WAIT_S:
            await hurry(own_wire)
        orders.give(embed_delay_s=0.02)
        await publisher.events(150)
        await own_wire.covered(1)
        indexer.pause()
        await publisher.events(50)
        # Nothing says that the server has given up: that is what its clock does.
        await asyncio.sleep(1.5 * ack_wait_s)
        indexer.resume()
        orders.lift()
        await holds(own_wire, ledger)
        await own_wire.all_settled()
