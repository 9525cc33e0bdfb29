"""The helpers of the other tests tell an answer from an error."""

import pytest

from harness.wire import AnsweredWithError, NotAnError, Wire


async def test_an_error_is_never_taken_for_an_answer(wire: Wire) -> None:
    """A question that is refused fails the test that expected an answer, with what the service said."""
    with pytest.raises(AnsweredWithError, match="not_found"):
        await wire.of("no-such-collection", "stats")


async def test_an_answer_is_never_taken_for_an_error(wire: Wire) -> None:
    """A question that is answered fails the test that expected a refusal."""
    with pytest.raises(NotAnError, match="indexed_seq"):
        await wire.refused("security.index.v1.stats")


async def test_a_message_that_is_not_there_is_none(wire: Wire, collection: str) -> None:
    """Absence is told from an answer by the server's own words, for a sequence and for a subject."""
    seq = await wire.event(collection, "an event")
    stored = await wire.stored(seq)
    assert stored is not None
    assert (stored.seq, stored.headers) == (seq, {})
    assert await wire.stored(seq + 1_000_000) is None
    assert await wire.stored(1, subject=f"security.events.v1.{collection}-2.>") is None
