"""What every client with an outbox does, whatever stands behind it; see `client_conformance` for how to use it.

Beside the fixtures `client` and `collection` there is `hold`, which keeps the outbox from delivering until it is
called with False.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from client_conformance import FAILED_LOGINS, LONGEST_WAIT, an_event

from precedent_backend_adapter import (
    NotDeliveredYet,
    NotIndexedYet,
    OutboxStatus,
    Outcome,
    PrecedentClient,
    Verdict,
)

Hold = Callable[[bool], Awaitable[None]]


async def status(client: PrecedentClient) -> OutboxStatus:
    """Of a client that has an outbox."""
    found = await client.outbox_status()
    assert found is not None
    return found


class OutboxConformance:
    """Receipts of what waits, and reading one's own write through the outbox."""

    async def test_a_receipt_without_a_sequence_finds_its_event(
        self, client: PrecedentClient, collection: str, hold: Hold
    ) -> None:
        """What waits has no sequence and is counted; given as `after`, its receipt is good for reading the write."""
        await hold(True)
        receipt = await client.publish(an_event(collection, id="a"))
        decided = await client.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN), collection=collection)
        assert (receipt.id, receipt.collection, receipt.is_delivered) == ("a", collection, False)
        with pytest.raises(NotDeliveredYet):
            _ = receipt.seq
        assert (await status(client)).waiting == 2
        with pytest.raises(NotIndexedYet):
            await client.search(FAILED_LOGINS, collection=collection, after=decided, wait=0.05)
        asking = asyncio.create_task(
            client.search(FAILED_LOGINS, collection=collection, after=decided, wait=LONGEST_WAIT)
        )
        await hold(False)
        [hit] = (await asking).hits
        assert (hit.event.id, hit.seq) == ("a", receipt.seq)
        assert hit.outcome is not None
        assert receipt.seq < decided.seq
        assert await receipt.delivered() == await receipt.delivered()

    async def test_a_flush_waits_until_nothing_waits(
        self, client: PrecedentClient, collection: str, hold: Hold
    ) -> None:
        """After a flush everything that was published before is in the log, in its order."""
        await hold(True)
        report = await client.publish_many([an_event(collection, id=f"e-{n}") for n in range(20)])
        flushing = asyncio.create_task(client.flush())
        with pytest.raises(NotDeliveredYet):
            _ = report.last_seq
        assert not flushing.done()
        await hold(False)
        await flushing
        assert (await status(client)).waiting == 0
        delivered = await report.delivered()
        seqs = [delivered.receipts[n].seq for n in range(20)]
        assert seqs == sorted(seqs)
        assert delivered.last_seq == report.last_seq == seqs[-1]
