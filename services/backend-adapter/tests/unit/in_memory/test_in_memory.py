"""What the in-memory client offers beyond the interface: failures on demand, and a similarity to count on."""

import pytest

from precedent_backend_adapter import (
    DeliveryUnknown,
    NotDelivered,
    NotDeliveredReason,
    Overloaded,
    SecurityEvent,
)
from precedent_backend_adapter.testing import InMemoryPrecedent, similarity

EVENT = SecurityEvent(kind="auth", text="failed login", id="a")


async def test_a_failure_is_raised_once_and_nothing_happens() -> None:
    """The next call fails as asked and has no effect; the one after it works."""
    async with InMemoryPrecedent() as precedent:
        precedent.fail_next(Overloaded("later"))
        with pytest.raises(Overloaded):
            await precedent.publish(EVENT)
        assert (await precedent.collection_stats()).count == 0
        await precedent.publish(EVENT)
        assert (await precedent.collection_stats()).count == 1


async def test_failures_wait_in_line() -> None:
    """Several are raised in the order in which they were asked for."""
    precedent = InMemoryPrecedent()
    precedent.fail_next(Overloaded("first"))
    precedent.fail_next(Overloaded("second"))
    for expected in ("first", "second"):
        with pytest.raises(Overloaded, match=expected):
            await precedent.stats()
    await precedent.stats()


async def test_a_lost_acknowledgement_leaves_one_event() -> None:
    """Republishing after it is a duplicate with the sequence of the first: stored once."""
    precedent = InMemoryPrecedent()
    precedent.lose_next_ack()
    with pytest.raises(DeliveryUnknown) as caught:
        await precedent.publish(EVENT)
    receipt = await precedent.republish(caught.value.pending)
    assert (receipt.seq, receipt.duplicate) == (1, True)
    assert (await precedent.stats()).stream.messages == 1


async def test_a_full_log_takes_nothing_until_there_is_room() -> None:
    """Every publish is refused as by a full stream; what was refused goes in later."""
    precedent = InMemoryPrecedent()
    precedent.fill_log()
    with pytest.raises(NotDelivered) as caught:
        await precedent.publish(EVENT)
    assert caught.value.reason is NotDeliveredReason.LOG_FULL
    precedent.fill_log(full=False)
    assert not (await precedent.republish(caught.value.pending)).duplicate


async def test_one_collection_too_many_becomes_a_dead_letter() -> None:
    """Beyond the cap of collections an event is not indexed, and says why."""
    precedent = InMemoryPrecedent()
    for n in range(63):
        await precedent.publish(SecurityEvent(kind="auth", text="x", collection=f"team-{n}"))
    [letter] = [one async for one in precedent.dead_letters()]
    assert letter.reason == "unprocessable"
    assert "team-62" in letter.detail


async def test_a_replay_never_undoes_a_later_revision_unasked() -> None:
    """A dead letter whose event was published again since is left alone, unless forced."""
    precedent = InMemoryPrecedent()
    seq = precedent.publish_raw("security.events.v1.incidents.auth", b'{"text": "old", "id": "a", "severity": 9}')
    await precedent.publish(EVENT)
    refused = await precedent.replay_dead_letters([seq])
    assert [one.seq for one in refused.refused] == [seq]
    assert refused.replayed == []
    [forced] = (await precedent.replay_dead_letters([seq], force=True)).replayed
    assert (forced.seq, forced.new_seq) == (seq, 3)


async def test_answers_are_copies() -> None:
    """What a test does to an answer does not change what is stored."""
    precedent = InMemoryPrecedent()
    await precedent.publish(SecurityEvent(kind="auth", text="x", id="a", attributes={"k": [1]}))
    [entry] = (await precedent.get(["a"])).events
    entry.event.attributes["k"] = "changed"
    assert (await precedent.get(["a"])).events[0].event.attributes == {"k": [1]}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("failed login", "Login FAILED!", 1.0),
        ("failed login", "port scan", 0.0),
        ("a b", "a c", 0.5),
        ("!!!", "!!!", 1.0),
        ("!!!", "???", 0.0),
        ("a a b", "a b b", 0.8),
    ],
)
def test_similarity_is_the_cosine_of_word_counts(one: str, other: str, expected: float) -> None:
    """Tests of a backend can choose texts whose similarity they know."""
    assert similarity(one, other) == similarity(other, one) == pytest.approx(expected)
