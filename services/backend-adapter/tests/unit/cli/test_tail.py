"""Following new events: each once, in order, as the index has it."""

from typing import Any

import pytest
from running_cli import given, run

from precedent_backend_adapter import (
    CollectionStatsReply,
    Entry,
    Filter,
    ListReply,
    Outcome,
    PrecedentError,
    SecurityEvent,
    StoredEvent,
    Unavailable,
    Verdict,
)
from precedent_backend_adapter.cli.follow import Follower
from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
def client() -> InMemoryPrecedent:
    """An empty one."""
    return InMemoryPrecedent()


def ids(entries: list[Entry]) -> list[str]:
    """Ids in their order."""
    return [one.event.id for one in entries]


async def test_it_begins_with_the_last_and_goes_on_with_what_is_new(client: InMemoryPrecedent) -> None:
    """The newest first events oldest first, then every new one once."""
    await given(client, *({"id": name} for name in "abcd"))
    follower = Follower(client, "incidents", None)
    assert ids(await follower.last(2)) == ["c", "d"]
    assert await follower.look() == []
    await given(client, {"id": "e"}, {"id": "f"})
    assert ids(await follower.look()) == ["e", "f"]
    assert await follower.look() == []


@pytest.mark.parametrize("before", [0, 3])
async def test_a_burst_of_any_size_is_shown_whole(client: InMemoryPrecedent, before: int) -> None:
    """More than one page between two looks loses nothing, also where the collection was empty."""
    await given(client, *({"id": f"old-{n}"} for n in range(before)))
    follower = Follower(client, "incidents", None)
    assert await follower.last(0) == []
    await client.publish_many(SecurityEvent(kind="x", text="t", id=f"e-{n}") for n in range(250))
    assert ids(await follower.look()) == [f"e-{n}" for n in range(250)]


async def test_only_what_passes_the_filter_is_shown(client: InMemoryPrecedent) -> None:
    """At the beginning and later."""
    await given(client, {"id": "a", "severity": 5}, {"id": "b"})
    follower = Follower(client, "incidents", Filter.model_validate({"severity": {"min": 4}}))
    assert ids(await follower.last(10)) == ["a"]
    await given(client, {"id": "c"}, {"id": "d", "severity": 4})
    assert ids(await follower.look()) == ["d"]


async def test_a_new_revision_is_news_and_an_outcome_is_not(client: InMemoryPrecedent) -> None:
    """An event that is replaced is shown again; one that is decided about is not."""
    await given(client, {"id": "a"})
    follower = Follower(client, "incidents", None)
    await follower.last(1)
    await client.publish_outcome(Outcome(event_id="a", verdict=Verdict.BENIGN))
    assert await follower.look() == []
    await given(client, {"id": "a", "text": "again"})
    assert ids(await follower.look()) == ["a"]


class Scripted(InMemoryPrecedent):
    """An index that is behind its log: what it has, how far it says it is, and how far the log is."""

    def __init__(self) -> None:
        super().__init__()
        self.indexed = 0
        self.stream = 0
        self.seqs: list[int] = []

    def state(self, indexed: int, stream: int, *seqs: int) -> None:
        """Be so."""
        self.indexed, self.stream, self.seqs = indexed, stream, sorted(seqs, reverse=True)

    async def collection_stats(self, *_: Any, **__: Any) -> CollectionStatsReply:
        """As told."""
        return CollectionStatsReply.model_validate({**self._covered(), "count": len(self.seqs)})

    async def list_page(self, *, limit: int = 100, **_: Any) -> ListReply:
        """As told."""
        events = [Entry(event=self._event(seq), seq=seq) for seq in self.seqs[:limit]]
        return ListReply.model_validate({**self._covered(), "events": events})

    def _covered(self) -> dict[str, Any]:
        model = {"name": "m", "fingerprint": "f"}
        return {"indexed_seq": self.indexed, "stream_seq": self.stream, "model": model}

    def _event(self, seq: int) -> StoredEvent:
        fields = {"collection": "incidents", "kind": "x", "text": "t", "severity": 1}
        return StoredEvent.model_validate({**fields, "id": f"e-{seq}", "occurred_at": "2026-01-01T00:00:00Z"})


async def test_an_event_that_is_indexed_late_is_not_missed() -> None:
    """One that was held up comes when it is there, and those that overtook it are not shown again."""
    index = Scripted()
    index.state(3, 3, 1, 2, 3)
    follower = Follower(index, "incidents", None)
    await follower.last(10)
    index.state(3, 6, 1, 2, 3, 5, 6)
    assert ids(await follower.look()) == ["e-5", "e-6"]
    index.state(3, 6, 1, 2, 3, 5, 6)
    assert await follower.look() == []
    index.state(6, 6, 1, 2, 3, 4, 5, 6)
    assert ids(await follower.look()) == ["e-4"]


async def test_a_log_that_was_made_anew_is_followed_from_its_beginning() -> None:
    """Sequences that begin again do not silence it."""
    index = Scripted()
    index.state(9, 9, 8, 9)
    follower = Follower(index, "incidents", None)
    await follower.last(1)
    index.state(2, 2, 1, 2)
    assert ids(await follower.look()) == ["e-1", "e-2"]


def test_the_command_follows_what_is_published_meanwhile(client: InMemoryPrecedent) -> None:
    """New events appear without being asked for again, each on a line, until there are enough."""
    looked: list[int] = []
    ask = client.collection_stats

    async def publishing(collection: str) -> CollectionStatsReply:
        looked.append(1)
        await given(client, {"id": f"e-{len(looked)}", "text": "new\none", "user": "admin"})
        return await ask(collection)

    client.collection_stats = publishing  # type: ignore[method-assign,assignment]
    done = run(client, "tail", "--count", "3", "--every", "0.05")
    assert done.code == 0
    assert [line.split("  ")[-2:] for line in done.out.splitlines()] == [[f"e-{n}", "new\\none"] for n in (1, 2, 3)]
    assert len(run(client, "tail", "--count", "2", "--every", "0.05", "--json").lines()) == 2


def test_the_command_outlives_an_indexer_that_is_away(client: InMemoryPrecedent) -> None:
    """It says so, and looks again."""
    failures: list[PrecedentError] = [Unavailable("nobody answers")]
    ask = client.collection_stats

    async def failing_once(collection: str) -> CollectionStatsReply:
        if failures:
            raise failures.pop()
        await given(client, {"id": "a"})
        return await ask(collection)

    client.collection_stats = failing_once  # type: ignore[method-assign,assignment]
    done = run(client, "tail", "--count", "1", "--every", "0.05")
    assert done.err == "precedent: nobody answers; looking again\n"
    assert len(done.out.splitlines()) == 1


def test_a_collection_that_is_not_there_ends_it(client: InMemoryPrecedent) -> None:
    """It exists from its first event on; until then there is nothing to follow."""
    done = run(client, "tail", "--collection", "nowhere")
    assert done.code == 3
    assert "nowhere" in done.err
