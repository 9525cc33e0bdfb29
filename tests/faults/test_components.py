"""The model or the store is slow, or fails for a while: no message is blamed for it, and all goes on by itself."""

import pytest

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.waits import eventually
from harness.wire import Wire


@pytest.mark.parametrize("order", ["embed_fails", "store_fails"])
async def test_a_part_that_fails_for_a_while(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher, order: str
) -> None:
    """It says that it is unavailable and waits; no event becomes a dead letter; it recovers in the same process."""
    indexer, orders = new_rigged()
    async with indexer:
        pid = indexer.pid
        await publisher.events(20)
        await own_wire.covered(20)
        orders.give(**{order: True})
        await publisher.events(100)

        async def said() -> None:
            stats = await own_wire.stats()
            assert stats.get("state") == "unavailable", stats
            assert stats["indexed_seq"] < stats["stream_seq"]

        await eventually(said, timeout=30)
        orders.lift()
        await holds(own_wire, ledger)
        await own_wire.all_settled()
        assert (indexer.pid, indexer.returncode) == (pid, None)


async def test_slow_parts_lose_nothing(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """With a slow model and a slow store questions are answered meanwhile, and every event is there in the end."""
    indexer, orders = new_rigged()
    async with indexer:
        orders.give(embed_delay_s=0.01, store_delay_s=0.2)
        await publisher.events(200)
        await own_wire.covered(1)
        found = await own_wire.search("incidents", text="anything")
        assert found["indexed_seq"] < found["stream_seq"], "it was not slow: the test proves nothing"
        orders.lift()
        await holds(own_wire, ledger)
