"""Counting events that are alike, by stretches of UTC."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.making import row
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.api import recurrence as recurring
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.recurrence import Recurrence
from precedent_indexer.domain.index_state import Writes
from precedent_indexer.index.watermark import Progress
from precedent_schemas.answers import RecurrenceReply
from precedent_schemas.questions import RecurrenceRequest

C = "incidents"
EVENTS: list[tuple[str, str, str | None, str | None]] = [
    ("2025-12-31T23:59:59.999Z", "failed login", "anna", "10.0.0.1"),
    ("2026-01-01T00:00:00.000Z", "failed login", "anna", "10.0.0.2"),
    ("2026-01-01T00:59:59.999Z", "failed login", "bert", None),
    ("2026-01-01T01:00:00.000Z", "failed login", None, None),
    ("2026-01-01T01:00:59.999Z", "failed login", "anna", "10.0.0.1"),
    ("2026-01-01T01:01:00.000Z", "malware in mail", "carl", "10.0.0.9"),
]


async def ask(**request: Any) -> RecurrenceReply:
    """A recurrence over these events."""
    store, embedder = FakeVectorStore(), FakeEmbedder()
    rows = [
        row(f"e{seq}", seq, text=text, occurred_at=at, user=user, ip=ip)
        for seq, (at, text, user, ip) in enumerate(EVENTS, 1)
    ]
    vectors = embedder.embed([one.event.text for one in rows])
    pairs = zip(rows, vectors, strict=True)
    store.write(C, Writes(rows={one.event.id: (one, vector) for one, vector in pairs}))
    view = IndexView(
        store=store, embedding=embedding_of(embedder), source=FakeLog(), progress=Progress(6), workers=InlineWorkers()
    )
    return await Recurrence(view).recurrence(C, RecurrenceRequest.model_validate(request))


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("day", [("2025-12-31 00:00", 1, 1, 1), ("2026-01-01 00:00", 4, 2, 2)]),
        ("hour", [("2025-12-31 23:00", 1, 1, 1), ("2026-01-01 00:00", 2, 2, 1), ("2026-01-01 01:00", 2, 1, 1)]),
        (
            "minute",
            [
                ("2025-12-31 23:59", 1, 1, 1),
                ("2026-01-01 00:00", 1, 1, 1),
                ("2026-01-01 00:59", 1, 1, 0),
                ("2026-01-01 01:00", 2, 1, 1),
            ],
        ),
    ],
)
async def test_buckets_begin_at_borders_of_utc(bucket: str, expected: list[tuple[str, int, int, int]]) -> None:
    """The last millisecond counts for its own bucket, the first of the next for the next; empty ones are left out."""
    reply = await ask(text="failed login", bucket=bucket)
    found = [(f"{one.start:%Y-%m-%d %H:%M}", one.count, one.users, one.ips) for one in reply.buckets]
    assert found == expected
    assert all(one.start.tzinfo == UTC and one.start.second == one.start.microsecond == 0 for one in reply.buckets)


async def test_totals_are_over_all_that_is_alike() -> None:
    """Distinct users and addresses, the first and the last; what is not alike counts nowhere."""
    reply = await ask(text="failed login")
    assert (reply.total, reply.users, reply.ips, reply.capped) == (5, 2, 2, False)
    assert reply.first_seen == datetime(2025, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    assert reply.last_seen == datetime(2026, 1, 1, 1, 0, 59, 999000, tzinfo=UTC)
    assert sum(one.count for one in reply.buckets) == reply.total


async def test_an_event_counts_itself() -> None:
    """Asked by id, the event itself is among those counted."""
    reply = await ask(id="e6")
    assert (reply.total, [one.count for one in reply.buckets]) == (1, [1])


async def test_nothing_alike_is_an_empty_answer() -> None:
    """No events that pass: no buckets, no first and no last, and still how much is covered."""
    reply = await ask(text="failed login", filter={"users": ["nobody"]})
    assert (reply.total, reply.buckets, reply.first_seen, reply.last_seen, reply.indexed_seq) == (0, [], None, None, 6)


async def test_a_count_at_the_limit_is_a_lower_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where as many are alike as are looked at, the answer says that there may be more."""
    monkeypatch.setattr(recurring, "MAX_K", 3)
    reply = await ask(text="failed login")
    assert (reply.total, reply.capped) == (3, True)
