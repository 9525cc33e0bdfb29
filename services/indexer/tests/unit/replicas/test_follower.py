"""A replica that does not write: what it answers from, and what it hands on."""

from dataclasses import dataclass, field

import pytest

from fakes.bus import FakeBus
from fakes.dead_letters import FakeDeadLetters
from fakes.embedder import FakeEmbedder, embedding_of
from fakes.log import FakeLog
from fakes.making import message, row, writes_of
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.messages import Packet, Refusal
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.domain.writers import Claim, WriterHistory, WriterTerm
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.replicas.follower import Follower
from precedent_indexer.replicas.forwarding import forwarded, take_forwarded, writers_subject
from precedent_schemas import answers, catalogue, codec
from precedent_schemas.failures import DeadReason, ErrorBody, ErrorDetail, ErrorReason, FieldProblem
from precedent_schemas.questions import DeleteRequest, GetRequest, StatsRequest

C = "incidents"
WRITER = Claim(7, "somebody", 15.0)


@dataclass
class Index:
    """Generations that another writes."""

    fingerprint: str
    index_format: int = INDEX_FORMAT
    current: str | None = None
    watermark: int = 0
    stores: dict[str, FakeVectorStore] = field(default_factory=dict)

    def read(self) -> WriterHistory:
        """What is said of it."""
        if self.current is None:
            return WriterHistory(None, {}, [])
        identity = Identity("a" * 32, "2026-01-01T00:00:00Z", self.fingerprint, self.watermark, self.index_format)
        return WriterHistory(self.current, {self.current: identity}, [WriterTerm(7, 0)])

    def open(self, generation: str) -> FakeVectorStore:
        """One of them."""
        return self.stores[generation]


class World:
    """A follower, and what it follows."""

    def __init__(self, *, other_model: bool = False) -> None:
        embedding = embedding_of(FakeEmbedder())
        self.index = Index("another" if other_model else embedding.model.fingerprint)
        self.dead_letters = FakeDeadLetters()
        self.bus = FakeBus()
        self.claim: Claim | None = WRITER
        self.follower = Follower(
            read_history=self.index.read,
            open_store=self.index.open,
            embedding=embedding,
            source=FakeLog(),
            dead_letters=self.dead_letters,
            workers=InlineWorkers(),
            bus=self.bus,
            claim=lambda: self.claim,
            max_payload=lambda: 1024 * 1024,
        )

    def put(self, generation: str, watermark: int, *ids: str) -> None:
        """Another generation is in use."""
        store = self.index.stores[generation] = FakeVectorStore()
        store.write(C, writes_of(*(row(one) for one in ids)))
        self.index.current, self.index.watermark = generation, watermark


async def test_nothing_is_answered_before_there_is_an_index() -> None:
    """Where nobody has written one yet, there is nothing to look at."""
    _, view = await World().follower.look()
    assert view is None


async def test_nothing_is_answered_from_an_index_of_a_later_version() -> None:
    """Its writer was updated, and this replica was not yet: what rows mean by now is not known here."""
    world = World()
    world.index.index_format = INDEX_FORMAT + 1
    world.put("generation-1", 5, "e1")
    _, view = await world.follower.look()
    assert view is None


async def test_how_far_it_is_is_what_the_writer_says() -> None:
    """It rises with the writer's watermark, and falls where the writer goes back: an answer claims no more."""
    world = World()
    world.put("generation-1", 5, "e1")
    _, view = await world.follower.look()
    assert view is not None
    assert world.follower.progress.indexed_seq == 5
    for watermark in (9, 3):
        world.index.watermark = watermark
        _, again = await world.follower.look()
        assert again is None
        assert world.follower.progress.indexed_seq == watermark


async def test_another_generation_takes_the_place_of_the_one_in_use() -> None:
    """What is asked from then on is answered from it."""
    world = World()
    world.put("generation-1", 5, "old")
    await world.follower.look()
    world.put("generation-2", 6, "new")
    _, view = await world.follower.look()
    assert view is not None
    get = world.follower.verbs(view)[catalogue.GET.name]
    reply = await get(C, GetRequest(ids=["old", "new"]))
    assert isinstance(reply, answers.GetReply)
    assert ([one.event.id for one in reply.events], reply.missing, reply.indexed_seq) == (["new"], ["old"], 6)


async def test_whoever_waits_for_a_refused_message_is_told_so() -> None:
    """The dead letters are looked at before the index is said to cover them."""
    world = World()
    refusal = Refusal(DeadReason.INVALID, "no text")
    await world.dead_letters.put(message(6, b"{}"), refusal)
    world.put("generation-1", 6)
    await world.follower.look()
    assert world.follower.progress.refusal(6) == refusal
    world.dead_letters.letters.clear()
    await world.follower.look()
    assert world.follower.progress.refusal(6) is None


async def test_text_is_not_compared_with_vectors_of_another_model() -> None:
    """Ids, lists and counts go on."""
    world = World(other_model=True)
    world.put("generation-1", 5, "e1")
    _, view = await world.follower.look()
    assert view is not None
    with pytest.raises(QuestionFailed, match="another") as failed:
        await view.vector(C, "some text", None)
    assert failed.value.reason is ErrorReason.UNAVAILABLE


async def test_what_only_the_writer_can_do_is_handed_on_to_it() -> None:
    """On the subject of its token, so that an earlier writer cannot take it; its answer is the answer."""
    bus = FakeBus()
    reply = answers.DeleteReply(deleted=["e1"], missing=[])
    subject = f"security.replicas.v1.{C}.delete.7"
    bus.answer(subject, Packet("", "", codec.encode(reply), {}))
    assert await forwarded(catalogue.DELETE, bus, lambda: WRITER)(C, DeleteRequest(ids=["e1"])) == reply
    assert writers_subject(7) == "security.replicas.v1.*.*.7"


async def test_the_writers_refusal_is_handed_back_as_it_is() -> None:
    """Code, reason, words and details are those of the writer."""
    bus = FakeBus()
    problem = FieldProblem(field="confirm", message="must be the name")
    body = ErrorBody(error=ErrorDetail(code=409, reason="refused", message="no", details=[problem]))
    headers = {"Nats-Service-Error-Code": "409", "Nats-Service-Error": "no"}
    bus.answer("security.replicas.v1._.stats.7", Packet("", "", codec.encode(body), headers))
    with pytest.raises(QuestionFailed, match="no") as failed:
        await forwarded(catalogue.STATS, bus, lambda: WRITER)("", StatsRequest())
    assert (failed.value.code, failed.value.details) == (409, [problem])


@pytest.mark.parametrize("claim", [None, Claim(7, "", 15.0)])
async def test_where_nobody_writes_that_is_said(claim: Claim | None) -> None:
    """At once, and not after a timeout."""
    with pytest.raises(QuestionFailed, match="no replica writes") as failed:
        await forwarded(catalogue.DELETE, FakeBus(), lambda: claim)(C, DeleteRequest(ids=["e1"]))
    assert failed.value.reason is ErrorReason.UNAVAILABLE


async def test_the_writer_takes_what_is_handed_on_and_nothing_else() -> None:
    """By the name of the endpoint; a name that there is not, or nobody waiting, is passed over."""
    taken: list[str] = []

    class Entrance:
        async def take(self, endpoint: catalogue.Endpoint, packet: Packet, _tally: object) -> None:
            taken.append(f"{endpoint.name} {packet.subject}")

    for subject, reply in (
        ("security.replicas.v1.incidents.delete.7", "_INBOX.x"),
        ("security.replicas.v1.incidents.delete.7", ""),
        ("security.replicas.v1.incidents.nonsense.7", "_INBOX.x"),
    ):
        await take_forwarded(Entrance(), Packet(subject, reply, b"{}", {}))  # type: ignore[arg-type] # all it needs
    assert taken == ["delete security.replicas.v1.incidents.delete.7"]
