"""What the entry of a lease promises; the bucket of a real server and the fake keep the same promises."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fakes.lease import FakeEntry
from fakes.servers import nats_server
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.lease import LeaseEntry, ensure_bucket
from precedent_indexer.domain.writers import Claim, Entry
from precedent_indexer.errors import Outrun
from precedent_indexer.settings import Settings

FIRST = Claim(1, "a", 15.0)
SECOND = Claim(2, "b", 7.5, "f" * 32)


@pytest.fixture(scope="module")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of these tests."""
    with nats_server(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest.fixture(params=["fake", "bucket"])
async def entry(request: pytest.FixtureRequest) -> AsyncIterator[Entry]:
    """The entry under test, empty."""
    if request.param == "fake":
        yield FakeEntry()
        return
    bus = await Bus.connect(Settings(nats_url=request.getfixturevalue("nats_url")), "test")
    await ensure_bucket(bus, 1)
    # Made once more, it stays as it is.
    await ensure_bucket(bus, 1)
    yield LeaseEntry(bus)
    await bus.api("STREAM.DELETE.KV_PRECEDENT_LEASES")
    await bus.close()


async def test_an_empty_entry_has_no_claim(entry: Entry) -> None:
    """Nothing is there before the first claim, and that is no error."""
    assert await entry.read() == (None, 0)


async def test_a_claim_comes_back_as_it_was_put(entry: Entry) -> None:
    """Every field survives, and the revision that is read is the one that the put gave."""
    revision = await entry.put(FIRST, 0)
    assert await entry.read() == (FIRST, revision)
    revision = await entry.put(SECOND, revision)
    assert await entry.read() == (SECOND, revision)


async def test_of_two_who_replace_the_same_claim_one_is_outrun(entry: Entry) -> None:
    """A put onto a revision that is not the last changes nothing, the first of all too."""
    revision = await entry.put(FIRST, 0)
    with pytest.raises(Outrun):
        await entry.put(SECOND, 0)
    later = await entry.put(FIRST, revision)
    with pytest.raises(Outrun):
        await entry.put(SECOND, revision)
    assert await entry.read() == (FIRST, later)
