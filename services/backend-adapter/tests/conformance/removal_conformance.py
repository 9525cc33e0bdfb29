"""What every client does about removing and refusing; see `client_conformance` for how to use it."""

import base64
from typing import Any

import pytest
from client_conformance import LONGEST_WAIT, an_event, ids, indexed, published

from precedent_backend_adapter import Conflict, Outcome, PrecedentClient, Refused, Verdict


class RemovalConformance:
    """Deletion, clearing and dead letters."""

    async def test_what_is_deleted_is_gone_with_its_outcome(self, client: PrecedentClient, collection: str) -> None:
        """A deleted event is not found any more, and a new one with its id begins without an outcome."""
        await published(client, an_event(collection, id="a"), an_event(collection, id="b"))
        outcome = Outcome(event_id="a", verdict=Verdict.BENIGN)
        await indexed(client, await client.publish_outcome(outcome, collection=collection))
        reply = await client.delete(["a", "nobody"], collection=collection)
        assert (reply.deleted, reply.missing) == (["a"], ["nobody"])
        assert (await client.get(["a"], collection=collection)).missing == ["a"]
        assert await ids(client.list(collection=collection)) == ["b"]
        await published(client, an_event(collection, id="a"))
        [entry] = (await client.get(["a"], collection=collection)).events
        assert entry.outcome is None

    async def test_clearing_removes_everything(self, client: PrecedentClient, collection: str) -> None:
        """A cleared collection has no event left, and says how many it had."""
        await published(client, an_event(collection), an_event(collection))
        assert (await client.clear(collection, confirm=collection)).deleted == 2
        await published(client, an_event(collection, id="new"))
        assert await ids(client.list(collection=collection)) == ["new"]

    async def test_clearing_needs_the_name_once_more(self, client: PrecedentClient, collection: str) -> None:
        """Without the right confirmation nothing is removed."""
        await published(client, an_event(collection, id="a"))
        with pytest.raises(Refused, match="confirm"):
            await client.clear(collection, confirm="another")
        assert await ids(client.list(collection=collection)) == ["a"]


class DeadLetterConformance:
    """What was refused; needs a third fixture: `publish_raw(subject, payload)`, giving a sequence, unchecked."""

    async def test_a_dead_letter_can_be_listed_read_and_dropped(
        self, client: PrecedentClient, collection: str, publish_raw: Any
    ) -> None:
        """What cannot be indexed is kept with its reason and its bytes, until it is dropped."""
        [first] = await published(client, an_event(collection))
        seq = await publish_raw(f"security.events.v1.{collection}.auth", b'{"text": 3}')
        with pytest.raises(Conflict):
            await client.search("x", collection=collection, after=seq, wait=LONGEST_WAIT)
        [letter] = [one async for one in client.dead_letters() if one.seq == seq]
        assert letter.reason == "invalid"
        assert base64.b64decode(letter.data) == b'{"text": 3}'
        got = await client.get_dead_letters([seq, first.seq])
        assert [one.seq for one in got.dead_letters] == [seq]
        assert got.missing == [first.seq]
        assert (await client.drop_dead_letters([seq])).dropped == [seq]
        assert (await client.get_dead_letters([seq])).missing == [seq]

    async def test_a_replayed_dead_letter_is_in_the_log_again(
        self, client: PrecedentClient, collection: str, publish_raw: Any
    ) -> None:
        """Replaying publishes the same bytes under a new sequence; what is still wrong dies again."""
        await published(client, an_event(collection))
        seq = await publish_raw(f"security.events.v1.{collection}.auth", b"not json")
        with pytest.raises(Conflict):
            await client.search("x", collection=collection, after=seq, wait=LONGEST_WAIT)
        [replayed] = (await client.replay_dead_letters([seq])).replayed
        assert replayed.seq == seq
        assert replayed.new_seq > seq
        with pytest.raises(Conflict):
            await client.search("x", collection=collection, after=replayed.new_seq, wait=LONGEST_WAIT)
