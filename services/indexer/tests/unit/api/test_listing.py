"""Pages of a listing, cursors, and what one reply can carry."""

import asyncio
import base64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.making import row, writes_of
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.api.listing import Listing
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.index.watermark import Progress
from precedent_schemas import codec
from precedent_schemas.answers import ListReply
from precedent_schemas.questions import ListRequest

C = "incidents"
MIB = 1024 * 1024


class GenerationStore:
    """A store whose rows lie at chosen sequences of a log."""

    def __init__(self, *, max_payload: int = MIB) -> None:
        self.store = FakeVectorStore()
        self.log = FakeLog()
        self.store.create(C)
        view = IndexView(
            store=self.store,
            embedding=embedding_of(FakeEmbedder()),
            source=self.log,
            progress=Progress(0),
            workers=InlineWorkers(),
        )
        self.lister = Listing(view, lambda: max_payload)

    def put(self, seq: int, **fields: Any) -> None:
        """A row; the log ends no earlier."""
        self.store.write(C, writes_of(row(f"e{seq}", seq, **fields)))
        self.log.last_seq = max(self.log.last_seq, seq)

    async def page(self, collection: str = C, **request: Any) -> ListReply:
        """One page."""
        return await self.lister.page(collection, ListRequest.model_validate(request))

    async def listed(self, **request: Any) -> list[int]:
        """Sequences of all pages."""
        found: list[int] = []
        cursor = None
        while True:
            reply = await self.page(**request, **({"cursor": cursor} if cursor else {}))
            found += [one.seq for one in reply.events]
            cursor = reply.cursor
            if cursor is None:
                return found


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_all_pages_are_the_whole_in_order(limit: int) -> None:
    """Wide gaps between sequences, filters and either order: the pages together are what passes, in order."""
    generations = GenerationStore()
    seqs = [1, 2, 3, 127, 128, 129, 600, 70_000, 70_001, 500_000]
    for seq in seqs:
        generations.put(seq, severity=1 + seq % 2)
    odd = [seq for seq in seqs if seq % 2]
    assert await generations.listed(limit=limit) == seqs[::-1]
    assert await generations.listed(limit=limit, order="oldest") == seqs
    assert await generations.listed(limit=limit, filter={"severity": {"min": 2}}) == odd[::-1]
    assert await generations.listed(limit=limit, order="oldest", filter={"severity": {"min": 2}}) == odd


async def test_no_cursor_at_the_end() -> None:
    """A page that shows the last event has no cursor, also where it is just full."""
    generations = GenerationStore()
    assert await generations.page() == (await generations.page()).model_copy(update={"events": [], "cursor": None})
    for seq in (1, 2, 3, 4):
        generations.put(seq)
    first = await generations.page(limit=2)
    assert first.cursor is not None
    assert (await generations.page(limit=2, cursor=first.cursor)).cursor is None


changes = st.lists(st.one_of(st.just("put"), st.integers(1, 60)), max_size=4)


@settings(max_examples=150, deadline=None, database=None)
@given(
    seqs=st.sets(st.integers(1, 400), max_size=40),
    between=st.lists(changes, max_size=20),
    order=st.sampled_from(("newest", "oldest")),
    limit=st.integers(1, 9),
)
def test_pages_neither_skip_nor_repeat_while_things_change(
    seqs: set[int], between: list[list[Any]], order: str, limit: int
) -> None:
    """Whatever is published or deleted between two pages: what was there all the time is listed exactly once.

    What came meanwhile is listed at most once: newest first not at all, oldest first always.
    """

    async def scenario() -> None:
        generations = GenerationStore()
        for seq in seqs:
            generations.put(seq)
        steady, fresh, script = set(seqs), set[int](), iter(between)
        found: list[int] = []
        cursor: str | None = None
        while True:
            reply = await generations.page(limit=limit, order=order, **({"cursor": cursor} if cursor else {}))
            found += [one.seq for one in reply.events]
            cursor = reply.cursor
            if cursor is None:
                break
            for change in next(script, []):
                if change == "put":
                    fresh.add(generations.log.last_seq + 1)
                    generations.put(generations.log.last_seq + 1)
                else:
                    generations.store.remove(C, [f"e{change}"], [])
                    steady.discard(change)
        assert found == sorted(found, reverse=order == "newest")
        assert len(set(found)) == len(found)
        assert steady <= set(found) <= seqs | fresh
        assert fresh.isdisjoint(found) if order == "newest" else fresh <= set(found)

    asyncio.run(scenario())


def recoded(cursor: str, body: str) -> str:
    """A cursor that says something else."""
    assert base64.urlsafe_b64decode(cursor + "==")
    return base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")


async def test_a_cursor_belongs_to_its_listing() -> None:
    """With another collection, order or filter, or changed in any way, a cursor is refused and the field named."""
    generations = GenerationStore()
    for seq in range(1, 6):
        generations.put(seq)
    generations.store.create("rules")
    plain = (await generations.page(limit=2)).cursor
    assert plain
    decoded = base64.urlsafe_b64decode(plain + "==").decode()
    last, _, check = decoded.partition(".")
    attempts: list[tuple[str, dict[str, Any]]] = [
        ("rules", {"cursor": plain}),
        (C, {"cursor": plain, "order": "oldest"}),
        (C, {"cursor": plain, "filter": {"users": ["a"]}}),
        (C, {"cursor": plain, "filter": {}}),
        (C, {"cursor": recoded(plain, f"{int(last) + 1}.{check}")}),
        (C, {"cursor": recoded(plain, f"0.{check}")}),
        (C, {"cursor": recoded(plain, f"-1.{check}")}),
        (C, {"cursor": recoded(plain, check)}),
        (C, {"cursor": recoded(plain, "1" * 300)}),
        (C, {"cursor": plain[:-2]}),
        (C, {"cursor": "A"}),
        (C, {"cursor": "ünï"}),
        (C, {"cursor": "////"}),
    ]
    for collection, request in attempts:
        with pytest.raises(QuestionFailed) as refused:
            await generations.page(collection, limit=2, **request)
        assert refused.value.code == 400, request
        assert [one.field for one in refused.value.details] == ["cursor"]
    assert [one.seq for one in (await generations.page(limit=2, cursor=plain)).events] == [3, 2]


async def test_a_cursor_is_tied_to_the_values_of_its_filter() -> None:
    """Another value in the filter is another listing, and the same filter again is the same."""
    generations = GenerationStore()
    for seq in range(1, 6):
        generations.put(seq, attributes={"n": 1})
    cursor = (await generations.page(limit=2, filter={"attributes": {"n": 1}})).cursor
    assert (await generations.page(limit=2, filter={"attributes": {"n": 1}}, cursor=cursor)).events
    for other in (True, "1", 2):
        with pytest.raises(QuestionFailed):
            await generations.page(limit=2, filter={"attributes": {"n": other}}, cursor=cursor)


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_page_that_would_not_fit_is_shorter(order: str) -> None:
    """Replies stay below 90% of the server's limit, and the pages together are still the whole."""
    generations = GenerationStore(max_payload=64 * 1024)
    for seq in range(1, 21):
        generations.put(seq, text="🚨" * (seq * 200))
    reply = await generations.page(order=order)
    assert len(codec.encode(reply)) < 0.9 * 64 * 1024
    assert 0 < len(reply.events) < 20
    assert sorted(await generations.listed(order=order)) == list(range(1, 21))


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_an_event_that_no_reply_can_hold_blocks_nothing(order: str) -> None:
    """It is named with its sequence and size where it would have stood, and the pages go on behind it."""
    generations = GenerationStore(max_payload=8_192)
    for seq in range(1, 10):
        generations.put(seq, text="x" * (30_000 if seq in {1, 4, 5, 9} else 2_000))
    listed, left_out, cursor = [], [], {}
    while True:
        reply = await generations.page(order=order, **cursor)
        assert len(codec.encode(reply)) < 0.9 * 8_192
        listed += [one.seq for one in reply.events]
        left_out += [(one.seq, one.id) for one in reply.too_large]
        assert all(one.bytes > 30_000 for one in reply.too_large)
        if reply.cursor is None:
            break
        cursor = {"cursor": reply.cursor}
    assert sorted(listed) == [2, 3, 6, 7, 8]
    assert sorted(left_out) == [(seq, f"e{seq}") for seq in (1, 4, 5, 9)]
    assert listed == sorted(listed, reverse=order == "newest")


async def test_a_page_may_hold_nothing_but_what_is_left_out() -> None:
    """Its cursor leads on all the same."""
    generations = GenerationStore(max_payload=8_192)
    generations.put(1, text="short")
    generations.put(2, text="x" * 30_000)
    reply = await generations.page(limit=1)
    assert (reply.events, [one.seq for one in reply.too_large]) == ([], [2])
    assert reply.cursor is not None
    assert [one.seq for one in (await generations.page(limit=1, cursor=reply.cursor)).events] == [1]
