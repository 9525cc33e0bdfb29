"""The wall clock is set back, or forward: it is shown, and it decides nothing."""

from faults.conftest import NewRigged
from faults.invariant import holds
from faults.ledger import Ledger
from faults.publishing import Publisher
from harness.wire import Wire

A_DAY_S = 86_400


async def test_the_clock_is_set_back_and_forward(
    own_wire: Wire, new_rigged: NewRigged, ledger: Ledger, publisher: Publisher
) -> None:
    """A day back and a day forward while it works, and at a start: events come in, are found and stay deleted."""
    indexer, orders = new_rigged()
    for shift in (-A_DAY_S, A_DAY_S):
        async with indexer:
            names = await publisher.events(20)
            await own_wire.covered((await own_wire.stats())["stream_seq"])
            orders.give(clock_s=shift)
            await publisher.revise(names[:5])
            await publisher.delete(names[5:8])
            await publisher.events(20)
            await holds(own_wire, ledger)
            assert "stalled" not in [entry["event"] for entry in indexer.logs()]
        async with indexer:
            await publisher.events(5)
            await holds(own_wire, ledger)
        orders.lift()
