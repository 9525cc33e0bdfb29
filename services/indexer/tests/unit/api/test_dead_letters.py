"""What the log says of dead letters that were replayed or dropped; the verbs themselves are tried over a real bus."""

import base64
from types import SimpleNamespace

import pytest

from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.api import dead_letters
from precedent_indexer.api.dead_letters import DeadLetterVerbs
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.errors import BusUnavailable, QuestionFailed
from precedent_indexer.index.watermark import Progress
from precedent_schemas.dead_letters import DeadLetter
from precedent_schemas.failures import DeadReason
from precedent_schemas.questions import DeadReplayRequest, DeadSeqsRequest

SUBJECT = "security.events.v1.incidents.auth"


class FakeArchive:
    """Dead letters of these originals."""

    def __init__(self, *seqs: int) -> None:
        self.seqs = list(seqs)

    async def refresh(self) -> None:
        """Nothing to do: it knows."""

    def originals(self) -> list[int]:
        """All."""
        return self.seqs

    async def letter(self, original: int) -> DeadLetter | None:
        """One whose payload nobody could read."""
        if original not in self.seqs:
            return None
        payload = base64.b64encode(b"a secret {").decode()
        return DeadLetter.model_validate(
            {
                "seq": original,
                "subject": SUBJECT,
                "reason": DeadReason.MALFORMED,
                "detail": "no JSON",
                "dead_at": "2026-01-01T00:00:00Z",
                "headers": {},
                "data": payload,
                "deliveries": 1,
            }
        )

    async def remove(self, original: int) -> None:
        """Forget it."""
        self.seqs.remove(original)


class Published:
    """A log that takes so many messages and no more."""

    def __init__(self, most: int) -> None:
        self._seqs = iter(range(100, 100 + most))

    async def publish_to_stream(self, _subject: str, _data: bytes, _headers: dict[str, str]) -> int:
        """Its sequence."""
        for seq in self._seqs:
            return seq
        raise BusUnavailable("no answer")


async def test_what_was_done_with_dead_letters_is_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line for each request, with counts and some sequences and never a payload; also where it broke off."""
    said: list[tuple[str, dict[str, object]]] = []
    monkeypatch.setattr(dead_letters, "log", SimpleNamespace(info=lambda event, **about: said.append((event, about))))
    monkeypatch.setattr(dead_letters, "_NAMED", 2)
    view = IndexView(
        store=FakeVectorStore(),
        embedding=embedding_of(FakeEmbedder()),
        source=FakeLog(),
        progress=Progress(9),
        workers=InlineWorkers(),
    )
    reviver = DeadLetterVerbs(view, FakeArchive(*range(1, 7)), Published(2), lambda: 1024 * 1024)
    await reviver.drop("", DeadSeqsRequest(seqs=[1, 2, 3]))
    with pytest.raises(BusUnavailable):
        await reviver.replay("", DeadReplayRequest(seqs=[4, 5, 6], force=True))
    assert said == [
        ("dead_letters_dropped", {"count": 3, "seqs": "1 2"}),
        ("dead_letters_replayed", {"count": 2, "seqs": "4 5", "refused": 0, "force": True}),
    ]
    assert "secret" not in str(said)


async def test_a_replay_waits_until_the_index_knows_of_later_revisions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a backlog nothing is replayed without force, since a later revision may be in it; with force it is."""
    monkeypatch.setattr(dead_letters, "_PATIENCE_S", 0.0)
    log = FakeLog()
    later = log.publish_event({"text": "newer", "id": "a"})
    progress = Progress(later - 1)
    view = IndexView(
        store=FakeVectorStore(),
        embedding=embedding_of(FakeEmbedder()),
        source=log,
        progress=progress,
        workers=InlineWorkers(),
    )
    archive = FakeArchive(1, 2)
    reviver = DeadLetterVerbs(view, archive, Published(2), lambda: 1024 * 1024)
    with pytest.raises(QuestionFailed, match=f"has not reached {later} yet"):
        await reviver.replay("", DeadReplayRequest(seqs=[1]))
    assert archive.seqs == [1, 2]
    assert [one.seq for one in (await reviver.replay("", DeadReplayRequest(seqs=[2], force=True))).replayed] == [2]
    progress.advance(later)
    assert [one.seq for one in (await reviver.replay("", DeadReplayRequest(seqs=[1]))).replayed] == [1]


async def test_a_replay_larger_than_the_server_takes_is_refused_as_too_large() -> None:
    """It is named with its size and the limit of today; those that fit are replayed, and it stays a dead letter."""
    view = IndexView(
        store=FakeVectorStore(),
        embedding=embedding_of(FakeEmbedder()),
        source=FakeLog(),
        progress=Progress(9),
        workers=InlineWorkers(),
    )
    archive = FakeArchive(1)
    for most, says in (
        (1000, "too_large: it takes 1034 bytes with its headers, and the server takes 1000"),
        (4096, None),
    ):
        verbs = DeadLetterVerbs(view, archive, Published(1), lambda most=most: most)  # type: ignore[misc]
        reply = await verbs.replay("", DeadReplayRequest(seqs=[1], force=True))
        if says:
            assert [one.message[: len(says)] for one in reply.refused] == [says]
            assert archive.seqs == [1]
        else:
            assert [one.seq for one in reply.replayed] == [1]
