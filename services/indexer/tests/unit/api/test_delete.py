"""The verbs `delete` and `clear`: answered once the deletion is in the log and applied."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest

from fakes.bus import refused
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.indexer import FakeIndexer
from fakes.workers import InlineWorkers
from precedent_indexer.api import delete as removing
from precedent_indexer.api.delete import DeletionVerbs
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.domain.messages import Refusal
from precedent_indexer.errors import QuestionFailed
from precedent_schemas.events import Deletion
from precedent_schemas.failures import DeadReason
from precedent_schemas.questions import ClearRequest, DeleteRequest

C = "incidents"


@pytest.fixture
async def indexer() -> AsyncIterator[FakeIndexer]:
    """An indexer over fakes with the events a, b and c, running."""
    made = FakeIndexer({}, (), 4)
    for event_id in "abc":
        made.log.publish_event({"text": "x", "id": event_id})
    assert await made.progress.reach(3, 5)
    yield made
    made._task.cancel()
    await asyncio.wait({made._task})


def remover_of(indexer: FakeIndexer) -> DeletionVerbs:
    """The verbs over this indexer."""
    view = IndexView(
        store=indexer.store,
        embedding=embedding_of(FakeEmbedder()),
        source=indexer.log,
        progress=indexer.progress,
        workers=InlineWorkers(),
    )
    return DeletionVerbs(view, indexer.deletion_results, lambda: 1024 * 1024)


async def test_delete_names_what_is_gone_and_what_was_not_there(indexer: FakeIndexer) -> None:
    """When it answers, the events are out of the index, their messages out of the log, and the deletion in it."""
    reply = await remover_of(indexer).delete(C, DeleteRequest(ids=["c", "no", "a", "c"]))
    assert (reply.deleted, reply.missing) == (["c", "a"], ["no"])
    assert sorted(indexer.store.contents(C)[0]) == ["b"]
    assert sorted(indexer.log.messages) == [2, 4]
    again = await remover_of(indexer).delete(C, DeleteRequest(ids=["a"]))
    assert (again.deleted, again.missing) == ([], ["a"])


async def test_who_removed_what_is_in_the_log(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each, with collection, counts and some ids; also of a deletion that was not applied in time."""
    said: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(removing, "log", SimpleNamespace(info=lambda event, **about: said.append((event, about))))
    monkeypatch.setattr(removing, "_NAMED", 2)
    remover = remover_of(indexer)
    await remover.delete(C, DeleteRequest(ids=["c", "no", "a"]))
    await remover.clear(C, ClearRequest(confirm=C))
    monkeypatch.setattr(removing, "_PATIENCE_S", 0)
    with pytest.raises(QuestionFailed):
        await remover.delete(C, DeleteRequest(ids=["b"]))
    assert said == [
        ("events_deleted", {"collection": C, "published": 3, "deleted": 2, "ids": "c no"}),
        ("collection_cleared", {"collection": C, "seq": 5}),
        ("events_deleted", {"collection": C, "published": 1, "deleted": 0, "ids": "b"}),
    ]


async def test_a_large_deletion_goes_in_parts(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part is in the log behind what was published while the one before it was applied."""
    monkeypatch.setattr(removing, "_TOGETHER", 2)
    publish_deletion = indexer.log.publish_deletion

    async def publishing(collection: str, deletion: Deletion) -> int:
        seq = await publish_deletion(collection, deletion)
        indexer.log.publish_event({"text": "meanwhile", "id": f"m-{seq}"})
        return seq

    monkeypatch.setattr(indexer.log, "publish_deletion", publishing)
    reply = await remover_of(indexer).delete(C, DeleteRequest(ids=["c", "no", "a", "b", "neither"]))
    assert (reply.deleted, reply.missing) == (["c", "a", "b"], ["no", "neither"])
    assert sorted(indexer.log.history) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert sorted(indexer.log.messages) == [4, 5, 6, 7, 8, 9]
    await indexer.progress.reach(9, 5)
    assert sorted(indexer.store.contents(C)[0]) == ["m-4", "m-6", "m-8"]


async def test_a_deletion_that_takes_too_long_is_in_the_log_as_a_whole(
    indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When nobody waits any longer, the rest is one deletion, and the answer says that it will be applied."""
    monkeypatch.setattr(removing, "_TOGETHER", 1)
    monkeypatch.setattr(removing, "_PATIENCE_S", 0)
    with pytest.raises(QuestionFailed, match="will be applied") as failed:
        await remover_of(indexer).delete(C, DeleteRequest(ids=["a", "b", "c"]))
    assert failed.value.code == 504
    assert indexer.log.last_seq == 4
    assert await indexer.progress.reach(4, 5)
    assert indexer.store.count(C) == 0


async def test_clear_takes_everything_and_needs_the_name(indexer: FakeIndexer) -> None:
    """Without the collection's own name nothing happens; with it, all of its events are gone and counted."""
    with pytest.raises(QuestionFailed, match="nothing was removed") as failed:
        await remover_of(indexer).clear(C, ClearRequest(confirm="rules"))
    assert (failed.value.code, failed.value.details[0].field) == (400, "confirm")
    assert indexer.log.last_seq == 3
    assert (await remover_of(indexer).clear(C, ClearRequest(confirm=C))).deleted == 3
    assert indexer.store.count(C) == 0
    assert sorted(indexer.log.messages) == [4]


async def test_a_collection_that_does_not_exist_is_404(indexer: FakeIndexer) -> None:
    """Nothing is written into the log for it."""
    with pytest.raises(QuestionFailed) as failed:
        await remover_of(indexer).delete("rules", DeleteRequest(ids=["a"]))
    assert failed.value.code == 404
    assert indexer.log.last_seq == 3


async def test_a_log_that_takes_nothing_is_unavailable(indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full log refuses the deletion, and the answer says that nothing was removed."""

    async def full(_collection: str, _deletion: Deletion) -> int:
        raise refused(10077, 503)

    monkeypatch.setattr(indexer.log, "publish_deletion", full)
    with pytest.raises(QuestionFailed, match="nothing was removed") as failed:
        await remover_of(indexer).delete(C, DeleteRequest(ids=["a"]))
    assert failed.value.code == 503


async def test_a_deletion_that_is_not_applied_in_time_says_so(
    indexer: FakeIndexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the log and will be applied; the answer is 504 and names its sequence."""
    monkeypatch.setattr(removing, "_PATIENCE_S", 0)
    with pytest.raises(QuestionFailed, match="in the log as 4") as failed:
        await remover_of(indexer).delete(C, DeleteRequest(ids=["a"]))
    assert failed.value.code == 504
    assert await indexer.progress.reach(4, 5)
    assert "a" not in indexer.store.contents(C)[0]


async def test_a_deletion_that_became_a_dead_letter_says_so(indexer: FakeIndexer) -> None:
    """It is not answered as if nothing had been there."""
    indexer.progress.refuse(4, Refusal(DeadReason.UNPROCESSABLE, "why"))
    with pytest.raises(QuestionFailed, match=r"dead letter.*why") as failed:
        await remover_of(indexer).delete(C, DeleteRequest(ids=["a"]))
    assert failed.value.code == 409
