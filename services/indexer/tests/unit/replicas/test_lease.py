"""One replica has the lease, and knows when it no longer does."""

import asyncio

import pytest

from fakes.lease import Clock, FakeEntry
from precedent_indexer.errors import LeaseLost, StoreUnavailable
from precedent_indexer.replicas.lease import Lease

TTL_S = 15.0


@pytest.fixture
def entry() -> FakeEntry:
    """Where all of a test compete."""
    return FakeEntry()


@pytest.fixture
def clock() -> Clock:
    """Of all of them."""
    return Clock()


def lease(entry: FakeEntry, clock: Clock, name: str) -> Lease:
    """One replica's."""
    return Lease(entry, name, TTL_S, clock)


async def take(one: Lease, highest: int = 0, *, vacant: bool = True) -> bool:
    """Whether it is taken now."""
    return await one.attempt(highest, vacant=vacant)


async def test_of_two_one_has_it(entry: FakeEntry, clock: Clock) -> None:
    """The first takes it, the second does not, and only the first may write."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    assert await take(first)
    assert not await take(second)
    first.check()
    assert (first.holds, second.holds) == (True, False)
    with pytest.raises(StoreUnavailable):
        second.check()


async def test_what_is_not_renewed_is_taken_by_another_with_a_higher_token(entry: FakeEntry, clock: Clock) -> None:
    """Whoever waits counts from when it saw the entry first; the holder has stopped before that is over."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(first)
    clock.now += TTL_S - 1
    assert not await take(second)
    assert not first.holds
    clock.now += TTL_S - 0.1
    assert not await take(second)
    clock.now += 0.2
    assert await take(second)
    assert second.token > first.token
    assert second.holds


async def test_one_that_is_renewed_is_never_taken(
    entry: FakeEntry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long another waits: each renewal begins its wait anew."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(first)
    turns = 0

    async def sleep(seconds: float) -> None:
        nonlocal turns
        clock.now += seconds
        assert first.holds
        assert not await take(second)
        turns += 1
        if turns == 20:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await first.keep()


async def test_one_that_is_given_back_is_taken_at_once(entry: FakeEntry, clock: Clock) -> None:
    """Nobody waits for a replica that ended in good order, and the token rises nevertheless."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(first)
    await first.release()
    assert not first.holds
    assert await take(second)
    assert second.token == first.token + 1


async def test_whoever_lost_it_is_told_at_the_next_renewal(
    entry: FakeEntry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that slept too long finds another's claim, and does not take it for its own."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(first)
    await take(second)
    clock.now += TTL_S + 1
    assert await take(second)

    async def sleep(_seconds: float) -> None:
        """At once."""

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(LeaseLost, match="another replica writes"):
        await first.keep()
    assert not first.holds
    assert second.holds


async def test_a_renewal_whose_answer_was_lost_is_no_loss(
    entry: FakeEntry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is found then is its own claim: it goes on, and holds the lease from the renewal that was answered."""
    one = lease(entry, clock, "a")
    await take(one)
    pauses = iter([True, False])

    async def sleep(seconds: float) -> None:
        clock.now += seconds
        try:
            entry.loses_answers = next(pauses)
        except StopIteration:
            raise asyncio.CancelledError from None

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await one.keep()
    assert one.holds


async def test_nobody_writes_while_the_bucket_is_away_for_long(
    entry: FakeEntry, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder stops when its time is over; where the bucket comes back unchanged, it goes on with its token."""
    one = lease(entry, clock, "a")
    await take(one)
    token = one.token
    entry.is_down = True
    spent = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal spent
        clock.now += seconds
        spent += seconds
        if spent > TTL_S and entry.is_down:
            assert not one.holds
            entry.is_down = False
        elif not entry.is_down:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await one.keep()
    assert (one.holds, one.token) == (True, token)


async def test_a_bucket_that_was_lost_gives_no_token_again(entry: FakeEntry, clock: Clock) -> None:
    """The index remembers the highest token, and that somebody may still write: that is waited out."""
    one = lease(entry, clock, "a")
    assert not await take(one, 41, vacant=False)
    clock.now += TTL_S
    assert await take(one, 41, vacant=False)
    assert one.token == 42


async def test_the_name_of_the_index_is_handed_on(entry: FakeEntry, clock: Clock) -> None:
    """Whoever takes the lease finds which index was written, also where Chroma has lost it."""
    first, second = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(first)
    await first.name_index("f" * 32)
    await first.release()
    await take(second)
    assert second.seen is not None
    assert second.seen.index == "f" * 32


async def test_others_see_which_index_is_written_once_it_is_named(entry: FakeEntry, clock: Clock) -> None:
    """Before that they answer from none: what a writer opens may be refused."""
    writer, other = lease(entry, clock, "a"), lease(entry, clock, "b")
    await take(writer)
    await take(other)
    assert not other.names("i" * 32)
    await writer.name_index("i" * 32)
    await take(other)
    assert other.names("i" * 32)
    assert not other.names("j" * 32)
