"""How a backend uses the public names; type-checked, never run."""

from typing import assert_type

from precedent_backend_adapter import (
    Bucket,
    Config,
    Credentials,
    DeadLetter,
    DeliveryUnknown,
    Entry,
    Filter,
    Order,
    OutboxConfig,
    OutboxStatus,
    Outcome,
    Precedent,
    PrecedentClient,
    PublishProgress,
    PublishReport,
    Receipt,
    RecurrenceReply,
    SearchReply,
    SecurityEvent,
    Timeouts,
    Tls,
    Verdict,
)
from precedent_backend_adapter.sync import Precedent as SyncPrecedent
from precedent_backend_adapter.testing import InMemoryPrecedent


async def over_nats() -> None:
    """Connecting gives a client."""
    config = Config(
        credentials=Credentials(nkey_seed_file="backend.nk"),
        tls=Tls(ca_file="ca.pem"),
        timeouts=Timeouts(publish=5),
        inbox_prefix="_INBOX.backend",
        outbox=OutboxConfig(path="/var/lib/backend/outbox", max_events=10_000),
    )
    async with Precedent.connect(["nats://a:4222", "nats://b:4222"], config=config) as precedent:
        assert_type(precedent, Precedent)
        await with_any_client(precedent)


async def in_memory() -> None:
    """The in-memory client is one too."""
    async with InMemoryPrecedent(outbox=True) as precedent:
        assert_type(precedent, InMemoryPrecedent)
        precedent.hold_outbox()
        await with_any_client(precedent)


async def with_any_client(precedent: PrecedentClient) -> None:
    """Every method, as a caller sees its types."""
    event = SecurityEvent(kind="auth.brute_force", text="...", severity=5, user="admin", ip="203.0.113.7")
    try:
        receipt = await precedent.publish(event, headers={"traceparent": "00-..."})
    except DeliveryUnknown as error:
        receipt = await precedent.republish(error.pending)
    assert_type(receipt, Receipt)
    assert_type(receipt.is_delivered, bool)
    assert_type(await receipt.delivered(), Receipt)
    assert_type((await receipt.delivered()).seq, int)
    status = await precedent.outbox_status()
    assert_type(status, OutboxStatus | None)
    await precedent.flush()
    report = await precedent.publish_many([event], window=8, progress=told)
    assert_type(report, PublishReport)
    assert_type((await report.delivered()).last_seq, int | None)
    outcome = Outcome(event_id=receipt.id, verdict=Verdict.TRUE_POSITIVE, mitigation="block ip")
    assert_type(await precedent.publish_outcome(outcome), Receipt)
    answer = await precedent.search(
        "login attack", k=5, after=receipt, filter=Filter(kinds=["auth"]), wait=2, timeout=5
    )
    assert_type(answer, SearchReply)
    for hit in answer.hits:
        assert_type(hit.similarity, float)
        assert_type(hit.event.text, str)
    assert_type(await precedent.recurrence(id=receipt.id, bucket=Bucket.HOUR), RecurrenceReply)
    assert_type((await precedent.get([receipt.id])).missing, list[str])
    page = await precedent.list_page(order=Order.OLDEST, limit=10)
    assert_type(page.cursor, str | None)
    async for entry in precedent.list(filter=Filter(users=["admin"])):
        assert_type(entry, Entry)
    assert_type((await precedent.delete([receipt.id])).deleted, list[str])
    assert_type((await precedent.clear("incidents", confirm="incidents")).deleted, int)
    assert_type((await precedent.stats()).dead_letters, int)
    assert_type((await precedent.collection_stats("rules")).count, int)
    async for letter in precedent.dead_letters():
        assert_type(letter, DeadLetter)
    assert_type((await precedent.get_dead_letters([3])).missing, list[int])
    assert_type((await precedent.replay_dead_letters([3], force=True)).missing, list[int])
    assert_type((await precedent.drop_dead_letters([3])).dropped, list[int])


def told(progress: PublishProgress) -> None:
    """What a progress callback gets."""
    assert_type(progress.in_flight, int)


def without_await() -> None:
    """The synchronous client has the same types, without a coroutine around them."""
    event = SecurityEvent(kind="auth.brute_force", text="...")
    with SyncPrecedent.connect("nats://a:4222", lazy=True) as precedent:
        assert_type(precedent, SyncPrecedent)
        receipt = precedent.publish(event)
        assert_type(receipt, Receipt)
        assert_type(precedent.delivered(receipt), Receipt)
        report = precedent.publish_many([event], progress=told)
        assert_type(precedent.delivered(report), PublishReport)
        assert_type(precedent.search("login attack", after=receipt), SearchReply)
        for entry in precedent.list(filter=Filter(kinds=["auth"])):
            assert_type(entry, Entry)
        assert_type(precedent.outbox_status(), OutboxStatus | None)
    in_memory = SyncPrecedent(InMemoryPrecedent)
    assert_type(in_memory.stats().dead_letters, int)
