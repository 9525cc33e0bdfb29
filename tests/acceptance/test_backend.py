"""A day of a backend: it publishes, asks, decides and forgets, through the adapter and nothing else."""

import asyncio
import re

import pytest

from harness.nats_server import NatsServer
from harness.stack import NewIndexer, Stack
from harness.waits import eventually
from harness.wire import Wire
from precedent_backend_adapter import (
    Conflict,
    Filter,
    NotDelivered,
    NotFound,
    NotIndexedYet,
    Order,
    Outcome,
    Precedent,
    Receipt,
    Refused,
    SecurityEvent,
    TooLarge,
    Unavailable,
    Verdict,
)

LONGEST_WAIT = 30.0


def an_event(collection: str, text: str, **fields: object) -> SecurityEvent:
    """An event of a kind that needs no more to be said."""
    return SecurityEvent.model_validate({"kind": "auth.brute_force", "collection": collection, "text": text, **fields})


async def indexed(client: Precedent, receipt: Receipt) -> None:
    """Wait until the index has reached the receipt."""
    await client.search("anything", collection=receipt.collection, k=1, after=receipt, wait=LONGEST_WAIT)


async def test_have_we_seen_this_before(client: Precedent, collection: str) -> None:
    """The story of the whole project: an incident, its outcome, and a second incident that finds both."""
    first = await client.publish(
        an_event(collection, "5000 failed logins for admin in 30 s", user="admin", ip="192.0.2.7", severity=4)
    )
    await client.publish(an_event(collection, "the nightly backup took four hours"))
    decided = Outcome(event_id=first.id, verdict=Verdict.TRUE_POSITIVE, mitigation="block the address", by="ana")
    await client.publish_outcome(decided, collection=collection)
    second = await client.publish(an_event(collection, "4000 failed logins for root in a minute"))

    answer = await client.search(id=second.id, collection=collection, after=second, wait=LONGEST_WAIT, k=1)

    [hit] = answer.hits
    assert (hit.event.id, hit.event.user, str(hit.event.ip)) == (first.id, "admin", "192.0.2.7")
    assert hit.outcome is not None
    assert hit.outcome.mitigation == "block the address"
    assert answer.summary.verdicts == {"true_positive": 1}
    assert answer.indexed_seq >= second.seq


async def test_rules_are_a_collection_like_any_other(client: Precedent) -> None:
    """What people decided should happen is published and asked in the same way; it exists from the start."""
    receipt = await client.publish(
        SecurityEvent(kind="policy", collection="rules", text="Lock an account after 20 failed logins")
    )
    answer = await client.search(
        "how many failed logins are allowed?", collection="rules", after=receipt, wait=LONGEST_WAIT
    )
    assert receipt.id in {hit.event.id for hit in answer.hits}


async def test_every_publish_call_has_its_own_message_id(client: Precedent, wire: Wire, collection: str) -> None:
    """The log sees collection, id and 128 random bits, so that a repeated delivery is told from a new publication."""
    event = an_event(collection, "twice on purpose", id="a")
    receipts = [await client.publish(event), await client.publish(event)]
    assert receipts[0].seq != receipts[1].seq
    message_ids = []
    for receipt in receipts:
        stored = await wire.stored(receipt.seq)
        assert stored is not None
        message_ids.append(stored.headers["Nats-Msg-Id"])
        assert re.fullmatch(rf"{collection}:a:[0-9a-f]{{32}}", message_ids[-1])
    assert len(set(message_ids)) == 2


async def test_trace_headers_pass_through(client: Precedent, wire: Wire, collection: str) -> None:
    """The trace context is in the log as it was given, and nothing else of the carrier is."""
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "cookie": "secret"}
    receipt = await client.publish(an_event(collection, "traced"), headers=carrier)
    stored = await wire.stored(receipt.seq)
    assert stored is not None
    assert stored.headers["traceparent"] == carrier["traceparent"]
    assert "cookie" not in stored.headers


async def test_listing_goes_on_while_others_publish(client: Precedent, collection: str) -> None:
    """The iterator fetches page by page, gives each event once, and stops."""
    receipts = [await client.publish(an_event(collection, f"event {number}", id=f"e{number}")) for number in range(7)]
    await indexed(client, receipts[-1])
    seen: list[str] = []
    async for entry in client.list(collection=collection, order=Order.NEWEST, page_size=2):
        seen.append(entry.event.id)
        if len(seen) == 3:
            await indexed(client, await client.publish(an_event(collection, "meanwhile", id="new")))
    assert seen == [f"e{number}" for number in reversed(range(7))]


async def test_filters_narrow_an_answer(client: Precedent, collection: str) -> None:
    """A filter of the adapter's own type reaches the service as it was meant."""
    await client.publish(an_event(collection, "failed login", id="a", user="ana", severity=2))
    await indexed(client, await client.publish(an_event(collection, "failed login", id="b", user="bob", severity=5)))
    wanted = Filter.model_validate({"users": ["ana", "bob"], "severity": {"min": 3}})
    answer = await client.search("failed login", collection=collection, filter=wanted)
    assert [hit.event.id for hit in answer.hits] == ["b"]


async def test_what_is_deleted_is_forgotten(client: Precedent, wire: Wire, collection: str) -> None:
    """After the call returns, neither the index nor the log has it."""
    receipt = await client.publish(an_event(collection, "personal data", id="a"))
    await indexed(client, receipt)
    reply = await client.delete(["a", "nobody"], collection=collection)
    assert (reply.deleted, reply.missing) == (["a"], ["nobody"])
    assert (await client.search("personal data", collection=collection)).hits == []
    assert await wire.stored(receipt.seq) is None


async def test_many_tasks_share_one_client(client: Precedent, collection: str) -> None:
    """Publishing and asking at once, every task reads its own write."""

    async def one(number: int) -> bool:
        receipt = await client.publish(an_event(collection, f"user u{number} downloaded table {number}"))
        text = f"user u{number} downloaded table {number}"
        answer = await client.search(text, collection=collection, k=50, after=receipt, wait=LONGEST_WAIT)
        return receipt.id in {hit.event.id for hit in answer.hits}

    assert all(await asyncio.gather(*(one(number) for number in range(40))))


async def test_errors_of_the_service_have_their_own_exceptions(client: Precedent, wire: Wire, collection: str) -> None:
    """What the wire says by number, the adapter says by type, with the fields that are wrong."""
    with pytest.raises(NotFound) as missing:
        await client.get(["a"], collection=collection)
    assert missing.value.code == 404
    await indexed(client, await client.publish(an_event(collection, "an event", id="a")))
    with pytest.raises(NotFound):
        await client.search(id="nobody", collection=collection)
    with pytest.raises(Refused) as wrong:
        await client.search("x", collection=collection, k=0)
    assert [problem.field for problem in wrong.value.problems] == ["k"]
    with pytest.raises(Refused):
        await client.clear(collection, confirm="another")
    with pytest.raises(NotIndexedYet):
        await client.search("x", collection=collection, after=2**40, wait=0.05)
    seq = await wire.publish(f"security.events.v1.{collection}.test", b"not json")
    with pytest.raises(Conflict, match="malformed"):
        await client.search("x", collection=collection, after=seq, wait=LONGEST_WAIT)


async def test_an_answer_too_large_names_what_fits(own_wire: Wire, new_indexer: NewIndexer) -> None:
    """On a server of ordinary size, a hundred large events do not fit one reply, and the exception says how many do."""
    text = "x" * 30_000
    async with new_indexer() as indexer, Precedent.connect(indexer.nats_url) as client:
        for number in range(40):
            receipt = await client.publish(an_event("incidents", f"{number} {text}"))
        await indexed(client, receipt)
        with pytest.raises(TooLarge, match=r"at most \d+"):
            await client.search("x", k=40)
        assert len([entry async for entry in client.list(page_size=40)]) == 40


async def test_without_an_indexer_events_are_kept_and_questions_are_unavailable(
    own_wire: Wire, new_indexer: NewIndexer
) -> None:
    """A backend never depends on the indexer to publish: what it published is found once one serves."""
    indexer = new_indexer()
    async with indexer:
        pass
    async with Precedent.connect(indexer.nats_url) as client:
        receipt = await client.publish(an_event("incidents", "nobody is listening"))
        with pytest.raises(Unavailable):
            await client.search("nobody is listening")
        async with indexer:
            answer = await client.search("nobody is listening", after=receipt, wait=LONGEST_WAIT)
            assert [hit.event.id for hit in answer.hits] == [receipt.id]


async def test_a_client_outlives_a_restart_of_the_server(
    server: NatsServer, own_wire: Wire, new_indexer: NewIndexer
) -> None:
    """The same client publishes and asks again once the server is back, without a word from the backend."""
    async with new_indexer(), Precedent.connect(server.url) as client:
        await indexed(client, await client.publish(an_event("incidents", "before", id="a")))
        server.restart()

        async def publishes_again() -> Receipt:
            return await client.publish(an_event("incidents", "after", id="b"))

        receipt = await eventually(
            publishes_again, timeout=60, attempt_timeout=20, exceptions=(NotDelivered, AssertionError)
        )

        async def finds_both() -> None:
            answer = await client.search("before and after", after=receipt, wait=LONGEST_WAIT)
            assert {hit.event.id for hit in answer.hits} == {"a", "b"}

        await eventually(finds_both, timeout=60, attempt_timeout=40, exceptions=(Unavailable, NotIndexedYet))


async def test_a_log_that_is_not_there_is_not_delivered(server: NatsServer, stack: Stack) -> None:
    """Where no stream takes the subject, the exception says that nothing was stored."""
    from precedent_backend_adapter import Config, Timeouts

    config = Config(timeouts=Timeouts(publish=0.5, publish_attempt=0.2))
    async with Precedent.connect(server.url, config=config) as client:
        with pytest.raises(NotDelivered):
            await client.publish(an_event("incidents", "no log"))
