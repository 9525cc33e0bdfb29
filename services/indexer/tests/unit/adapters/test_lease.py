"""The entry of the lease in its bucket: every way in which JetStream says that a compare-and-set was lost."""

import pytest

from fakes.bus import FakeBus, refused
from precedent_indexer.adapters.nats.lease import LeaseEntry
from precedent_indexer.domain.writers import Claim
from precedent_indexer.errors import JetStreamRefused, Outrun

KEY = "$KV.PRECEDENT_LEASES.indexer"
CLAIM = Claim(7, "this", 15.0)


@pytest.mark.parametrize("err_code", [10071, 10164])
async def test_a_lost_compare_and_set_is_another_claim(err_code: int) -> None:
    """A bucket of one server answers 10071, a replicated one 10164 too while the other claim is being stored."""
    bus = FakeBus()
    bus.answer(KEY, refused(err_code, 400))
    with pytest.raises(Outrun, match="since revision 3"):
        await LeaseEntry(bus).put(CLAIM, 3)


async def test_another_refusal_is_a_fault() -> None:
    """A full disk is not taken for another replica's claim."""
    bus = FakeBus()
    bus.answer(KEY, refused(10077, 503))
    with pytest.raises(JetStreamRefused):
        await LeaseEntry(bus).put(CLAIM, 3)
