"""Whoever takes the consumer away, or wants a part of it: events keep coming in, once."""

import asyncio

from faults.invariant import holds
from faults.ledger import Ledger
from faults.load import Load
from harness.stack import NewIndexer
from harness.wire import CONSUMER, LOG, Wire


async def test_the_consumer_is_deleted_under_load(own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger) -> None:
    """The durable consumer deleted again and again is made again where the index is, and nothing is skipped."""
    async with new_indexer() as indexer:
        pid = indexer.pid
        async with Load(own_wire, ledger, 1, per_second=100):
            for round_ in range(1, 4):
                await own_wire.covered(20 * round_)
                assert (await own_wire.api(f"CONSUMER.DELETE.{LOG}.{CONSUMER}"))["success"]
        await holds(own_wire, ledger)
        assert (indexer.pid, indexer.returncode) == (pid, None)


async def test_second_indexers_change_nothing(own_wire: Wire, new_indexer: NewIndexer, ledger: Ledger) -> None:
    """One on the same directory and one on the same consumer, started under load, end at once; the first goes on."""
    async with new_indexer():
        async with Load(own_wire, ledger, 1, per_second=50):
            seconds = [new_indexer(), new_indexer("elsewhere")]
            for one in seconds:
                one.start()
            assert await asyncio.gather(*(one.wait_exit(30) for one in seconds)) == [1, 1]
            assert all("one index has one writer" in one.log_tail() for one in seconds)
        await holds(own_wire, ledger)
