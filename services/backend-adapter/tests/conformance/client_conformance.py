"""What every client of Precedent does, whatever stands behind it: the definition of `PrecedentClient`.

A test module subclasses each class and gives two fixtures: `client`, connected and ready, and `collection`, a name
that nobody else uses. Nothing here depends on how similarity is measured beyond this: equal texts are the most
similar, and a text about the same thing is nearer than one about something else.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeVar

import pytest

from precedent_backend_adapter import (
    Bucket,
    Filter,
    NotFound,
    NotIndexedYet,
    Order,
    Outcome,
    PrecedentClient,
    Receipt,
    Refused,
    SecurityEvent,
    Verdict,
)

Item = TypeVar("Item")

FAILED_LOGINS = "5000 failed logins for admin in 30 seconds"
PORT_SCAN = "port scan of the database subnet from one address"
LONGEST_WAIT = 30.0


def an_event(collection: str, **fields: Any) -> SecurityEvent:
    """An event of `collection` that is right but for `fields`."""
    given = {"kind": "auth.brute_force", "text": FAILED_LOGINS, "collection": collection}
    return SecurityEvent.model_validate({**given, **fields})


async def indexed(client: PrecedentClient, receipt: Receipt) -> Receipt:
    """Wait until the index has reached the receipt."""
    await client.search("anything", collection=receipt.collection, k=1, after=receipt, wait=LONGEST_WAIT)
    return receipt


async def published(client: PrecedentClient, *events: SecurityEvent) -> list[Receipt]:
    """Publish one after the other, and wait until the index has them."""
    receipts = [await client.publish(event) for event in events]
    await indexed(client, receipts[-1])
    return receipts


async def ids(entries: AsyncIterator[Any]) -> list[str]:
    """Ids in the order in which they come."""
    return [entry.event.id async for entry in entries]


class PublishConformance:
    """Events, outcomes, ids and revisions."""

    async def test_what_was_published_is_found_with_the_receipt(self, client: PrecedentClient, collection: str) -> None:
        """Reading one's own write: a search after the receipt has the event, whole, and says what it covers."""
        event = an_event(
            collection,
            id="a-1",
            severity=5,
            source="sshd",
            user="admin",
            ip="::ffff:203.0.113.7",
            occurred_at="2026-01-31T13:00:00.123456+01:00",
            attributes={"port": 22, "ratio": 1.5, "tags": ["x", "y"], "tor": True},
        )
        receipt = await client.publish(event)
        answer = await client.search(FAILED_LOGINS, collection=collection, after=receipt, wait=LONGEST_WAIT)
        [hit] = answer.hits
        assert (hit.event.id, hit.seq) == (receipt.id, receipt.seq) == ("a-1", receipt.seq)
        assert hit.similarity == pytest.approx(1, abs=0.01)
        assert hit.event.model_dump(mode="json") == {
            "id": "a-1",
            "collection": collection,
            "kind": "auth.brute_force",
            "text": FAILED_LOGINS,
            "occurred_at": "2026-01-31T12:00:00.123Z",
            "severity": 5,
            "source": "sshd",
            "user": "admin",
            "ip": "203.0.113.7",
            "attributes": {"port": 22, "ratio": 1.5, "tags": ["x", "y"], "tor": True},
        }
        assert receipt.seq <= answer.indexed_seq <= answer.stream_seq
        assert answer.model.name

    async def test_an_event_without_an_id_is_found_under_that_of_the_receipt(
        self, client: PrecedentClient, collection: str
    ) -> None:
        """The id that was drawn is the one that the index has."""
        [receipt] = await published(client, an_event(collection))
        reply = await client.get([receipt.id], collection=collection)
        assert [entry.event.id for entry in reply.events] == [receipt.id]

    async def test_equal_texts_are_all_kept(self, client: PrecedentClient, collection: str) -> None:
        """Events with the same text and no id never hide each other."""
        receipts = await published(client, an_event(collection), an_event(collection), an_event(collection))
        answer = await client.search(FAILED_LOGINS, collection=collection)
        assert {hit.event.id for hit in answer.hits} == {receipt.id for receipt in receipts}

    async def test_a_later_revision_replaces_the_whole_event(self, client: PrecedentClient, collection: str) -> None:
        """The same id again replaces the event; a field that the new one lacks is gone."""
        first, second = await published(
            client, an_event(collection, id="a", user="admin"), an_event(collection, id="a", text=PORT_SCAN)
        )
        [entry] = (await client.get(["a"], collection=collection)).events
        assert (entry.event.text, entry.event.user) == (PORT_SCAN, None)
        assert entry.seq == second.seq > first.seq
        assert (await client.collection_stats(collection)).count == 1

    async def test_the_latest_outcome_is_shown_with_its_event(self, client: PrecedentClient, collection: str) -> None:
        """Also one that was published before its event, and only the latest."""
        await client.publish_outcome(Outcome(event_id="a", verdict=Verdict.UNKNOWN), collection=collection)
        await client.publish(an_event(collection, id="a"))
        decided = Outcome(event_id="a", verdict=Verdict.TRUE_POSITIVE, mitigation="block ip", by="ana", note="tor")
        await indexed(client, await client.publish_outcome(decided, collection=collection))
        answer = await client.search(FAILED_LOGINS, collection=collection)
        outcome = answer.hits[0].outcome
        assert outcome is not None
        assert (outcome.verdict, outcome.mitigation, outcome.by, outcome.note) == (
            Verdict.TRUE_POSITIVE,
            "block ip",
            "ana",
            "tor",
        )
        assert outcome.decided_at is not None
        assert answer.summary.verdicts == {"true_positive": 1}
        assert answer.summary.mitigations == {"block ip": 1}

    async def test_many_may_publish_at_once(self, client: PrecedentClient, collection: str) -> None:
        """One client serves many tasks: every receipt has its own sequence, and every event arrives."""
        taken = await asyncio.gather(*(client.publish(an_event(collection, id=f"e-{n}")) for n in range(20)))
        receipts = [await receipt.delivered() for receipt in taken]
        assert len({receipt.seq for receipt in receipts}) == 20
        await indexed(client, max(receipts, key=lambda receipt: receipt.seq))
        assert (await client.collection_stats(collection)).count == 20


class QuestionConformance:
    """Search, recurrence, get, list and stats."""

    async def test_the_nearest_comes_first(self, client: PrecedentClient, collection: str) -> None:
        """Hits are ordered by similarity, at most k, and none below the least similarity asked for."""
        await published(client, an_event(collection, id="scan", text=PORT_SCAN), an_event(collection, id="logins"))
        answer = await client.search("failed logins for admin", collection=collection)
        assert [hit.event.id for hit in answer.hits] == ["logins", "scan"]
        assert answer.hits[0].similarity > answer.hits[1].similarity
        assert len((await client.search("failed logins", collection=collection, k=1)).hits) == 1
        near = await client.search(FAILED_LOGINS, collection=collection, min_similarity=0.95)
        assert [hit.event.id for hit in near.hits] == ["logins"]

    async def test_more_like_an_event_leaves_it_out(self, client: PrecedentClient, collection: str) -> None:
        """A search by id gives others, never the event itself."""
        await published(client, an_event(collection, id="a"), an_event(collection, id="b"))
        answer = await client.search(id="a", collection=collection)
        assert [hit.event.id for hit in answer.hits] == ["b"]

    async def test_recurrence_counts_by_bucket_user_and_address(self, client: PrecedentClient, collection: str) -> None:
        """Events like one are counted by stretch of time, the event itself among them."""
        await published(
            client,
            an_event(collection, id="a", occurred_at="2026-01-01T10:59:00Z", user="u1", ip="192.0.2.1"),
            an_event(collection, id="b", occurred_at="2026-01-01T11:00:00Z", user="u1", ip="192.0.2.2"),
            an_event(collection, id="c", occurred_at="2026-01-01T11:30:00Z", user="u2"),
            an_event(collection, id="d", text=PORT_SCAN, occurred_at="2026-01-01T11:30:00Z", user="u3"),
        )
        reply = await client.recurrence(id="a", collection=collection, min_similarity=0.95, bucket=Bucket.HOUR)
        assert (reply.total, reply.users, reply.ips, reply.capped) == (3, 2, 2, False)
        buckets = [(one.start.hour, one.count, one.users, one.ips) for one in reply.buckets]
        assert buckets == [(10, 1, 1, 1), (11, 2, 2, 1)]
        assert reply.first_seen is not None
        assert reply.last_seen is not None
        assert (reply.first_seen.hour, reply.last_seen.minute) == (10, 30)

    async def test_get_answers_in_the_order_asked(self, client: PrecedentClient, collection: str) -> None:
        """Events come in the order asked, and what is not there is named."""
        await published(client, *(an_event(collection, id=name) for name in "abc"))
        reply = await client.get(["c", "nobody", "a"], collection=collection)
        assert [entry.event.id for entry in reply.events] == ["c", "a"]
        assert reply.missing == ["nobody"]

    async def test_list_gives_each_event_once_across_pages(self, client: PrecedentClient, collection: str) -> None:
        """Following the cursors gives all events by sequence, either way, none twice."""
        names = [f"e-{n}" for n in range(7)]
        await published(client, *(an_event(collection, id=name) for name in names))
        oldest = client.list(collection=collection, order=Order.OLDEST, page_size=3)
        assert await ids(oldest) == names
        assert await ids(client.list(collection=collection, page_size=3)) == names[::-1]
        page = await client.list_page(collection=collection, limit=7)
        assert len(page.events) == 7
        assert page.cursor is None

    @pytest.mark.parametrize(
        ("wanted", "passing"),
        [
            ({}, "abc"),
            ({"kinds": ["auth"]}, "ab"),
            ({"kinds": ["auth.brute"]}, ""),
            ({"severity": {"min": 3}}, "b"),
            ({"severity": {"max": 3}}, "abc"),
            ({"users": ["admin", "root"]}, "ab"),
            ({"sources": ["sshd"]}, "a"),
            ({"ips": ["192.0.2.1"]}, "a"),
            ({"networks": ["192.0.2.77/24"]}, "a"),
            ({"networks": ["::/0"]}, "b"),
            ({"occurred_at": {"after": "2026-01-02T00:00:00Z"}}, "bc"),
            ({"occurred_at": {"before": "2026-01-02T00:00:00Z"}}, "a"),
            ({"attributes": {"port": 22.0}}, "a"),
            ({"attributes": {"level": 1.0}}, "a"),
            ({"attributes": {"level": True}}, ""),
            ({"attributes": {"tags": "x"}}, "ab"),
            ({"attributes": {"tags": ["y", "z"]}}, "b"),
            ({"contains": "logins for"}, "ab"),
            ({"contains": "Logins"}, ""),
            ({"verdicts": ["benign"]}, "c"),
            ({"exclude_ids": ["a"]}, "bc"),
            ({"kinds": ["auth"], "users": ["root"]}, "b"),
        ],
    )
    async def test_filters_are_exact(
        self, client: PrecedentClient, collection: str, wanted: dict[str, Any], passing: str
    ) -> None:
        """The same filter lets the same events pass in list and in search, and they are exactly the right ones."""
        await published(
            client,
            an_event(
                collection,
                id="a",
                user="admin",
                source="sshd",
                ip="192.0.2.1",
                occurred_at="2026-01-01T00:00:00Z",
                attributes={"port": 22, "tags": ["x"], "level": 1},
            ),
            an_event(
                collection,
                id="b",
                kind="auth.brute_force.ssh",
                severity=3,
                user="root",
                ip="2001:db8::1",
                occurred_at="2026-01-02T00:00:00Z",
                attributes={"port": "22", "tags": ["x", "z"]},
            ),
            an_event(collection, id="c", kind="authz", text=PORT_SCAN, occurred_at="2026-01-03T00:00:00Z"),
        )
        benign = Outcome(event_id="c", verdict=Verdict.BENIGN)
        await indexed(client, await client.publish_outcome(benign, collection=collection))
        chosen = Filter.model_validate(wanted)
        assert await ids(client.list(collection=collection, filter=chosen, order=Order.OLDEST)) == list(passing)
        answer = await client.search(FAILED_LOGINS, collection=collection, filter=chosen)
        assert {hit.event.id for hit in answer.hits} == set(passing)

    async def test_texts_match_however_they_were_typed(self, client: PrecedentClient, collection: str) -> None:
        """Composed and decomposed characters are the same to a filter; what is stored stays as it came."""
        composed, decomposed = "jos\u00e9", "jose\u0301"
        typed = {"a": composed, "b": decomposed}
        events = [
            an_event(collection, id=name, text=f"login of {user} failed", user=user, attributes={"owner": [user]})
            for name, user in typed.items()
        ]
        await indexed(client, (await published(client, *events))[-1])
        for asked in typed.values():
            for wanted in ({"users": [asked]}, {"attributes": {"owner": asked}}, {"contains": f"of {asked} f"}):
                chosen = Filter.model_validate(wanted)
                found = [entry.event async for entry in client.list(collection=collection, filter=chosen)]
                assert {event.id: event.user for event in found} == typed
                answer = await client.search("login", collection=collection, filter=chosen)
                assert {hit.event.id for hit in answer.hits} == set(typed)
        assert (await client.recurrence("login", collection=collection, min_similarity=-1)).users == 1

    async def test_stats_count_the_collection(self, client: PrecedentClient, collection: str) -> None:
        """Both stats agree on how many events there are, and say how far the index has read."""
        [*_, last] = await published(client, an_event(collection, id="a"), an_event(collection, id="b"))
        whole = await client.stats()
        assert whole.collections[collection].count == (await client.collection_stats(collection)).count == 2
        assert {"incidents", "rules"} <= whole.collections.keys()
        assert last.seq <= whole.indexed_seq <= whole.stream.last_seq

    async def test_what_is_not_there_is_not_found(self, client: PrecedentClient, collection: str) -> None:
        """A collection without an event, or an event that is not there, is 404 and names what is missing."""
        with pytest.raises(NotFound, match=collection):
            await client.search("x", collection=collection)
        await published(client, an_event(collection, id="a"))
        with pytest.raises(NotFound, match="nobody"):
            await client.search(id="nobody", collection=collection)
        with pytest.raises(NotFound, match="nobody"):
            await client.recurrence(id="nobody", collection=collection)

    async def test_a_sequence_that_is_still_to_come_is_not_indexed_yet(
        self, client: PrecedentClient, collection: str
    ) -> None:
        """Waiting for what nobody has published ends as asked, saying so."""
        [receipt] = await published(client, an_event(collection))
        with pytest.raises(NotIndexedYet):
            await client.search("x", collection=collection, after=receipt.seq + 1_000_000, wait=0.1)

    async def test_a_foreign_cursor_is_refused(self, client: PrecedentClient, collection: str) -> None:
        """A cursor that no page gave is refused by name."""
        await published(client, an_event(collection))
        with pytest.raises(Refused, match="cursor"):
            await client.list_page(collection=collection, cursor="no cursor")
