"""A Chroma server that several replicas share: what one writes, what the others see, and who is late."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.beside_store import NO_MODEL_FILES
from fakes.fence import FakeFence
from fakes.making import row, writes_of
from fakes.servers import chroma_server
from precedent_indexer.adapters.chroma import shared_generations
from precedent_indexer.adapters.chroma.probe import probe_server
from precedent_indexer.adapters.chroma.server import ChromaServer, ServedStore
from precedent_indexer.adapters.chroma.shared_generations import SharedGenerations
from precedent_indexer.domain.index_state import Identity, ModelInfo
from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.writers import WriterTerm
from precedent_indexer.errors import StartRefused, StoreUnavailable
from precedent_indexer.index.generations import GenerationStore
from precedent_indexer.settings import Settings

C = "incidents"
LOG = LogState("2026-01-01T00:00:00.1Z", 1, 100, 100, 1000)
IDENTITY = Identity("a" * 32, LOG.created, "sha256:feed", 5, 2)
MODEL = ModelInfo("words", "sha256:feed", 384, "none")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChromaServer]:
    """A server of this test alone."""
    with chroma_server(tmp_path) as url:
        yield ChromaServer.connect(Settings(precedent_chroma_url=url))


def test_who_has_no_lease_writes_nothing(server: ChromaServer) -> None:
    """Neither a replica that only reads, nor one whose lease is over; both can read."""
    fence = FakeFence()
    server.open("generation-1", fence).write(C, writes_of(row()))
    fence.holds = False
    for store in (server.open("generation-1"), server.open("generation-1", fence)):
        with pytest.raises(StoreUnavailable):
            store.write(C, writes_of(row("e2", 2)))
        with pytest.raises(StoreUnavailable):
            store.remove(C, ["e1"], [])
        with pytest.raises(StoreUnavailable):
            store.create("another")
        with pytest.raises(StoreUnavailable):
            store.set_identity(IDENTITY)
        assert list(store.rows(C, ["e1", "e2"])) == ["e1"]
        assert store.collections() == [C]
        assert store.identity() is None


def test_a_request_that_ends_after_the_lease_is_confessed(server: ChromaServer) -> None:
    """The writer itself is told that its write failed; whoever writes by then finds a mark."""
    fence = FakeFence(token=7)
    server.registry.keep_term(WriterTerm(7, 3))

    class Slow(ServedStore):
        """Whose lease is over while its request is under way."""

        def _sending(self) -> AbstractContextManager[None]:
            sending = super()._sending()

            class Around(AbstractContextManager[None]):
                def __enter__(self) -> None:
                    sending.__enter__()

                def __exit__(self, *error: object) -> bool | None:
                    fence.holds = False
                    return sending.__exit__(*error)  # type: ignore[arg-type] # handed on as they are

            return Around()

    store = Slow(server._client, server.registry, "generation-1", fence)
    with pytest.raises(StoreUnavailable):
        store.write(C, writes_of(row()))
    assert server.registry.read().terms == [WriterTerm(7, 3, late=True)]
    server.registry.set_late(7, late=False)
    assert server.registry.read().terms == [WriterTerm(7, 3)]


def test_what_an_earlier_writer_says_late_does_not_count(server: ChromaServer) -> None:
    """Neither how far it is, nor which generation is in use."""
    checkpoint = server.registry
    checkpoint.use(9, "generation-2")
    checkpoint.keep_identity(9, "generation-2", replace(IDENTITY, watermark=50))
    checkpoint.keep_identity(8, "generation-2", replace(IDENTITY, watermark=99))
    checkpoint.use(8, "generation-1")
    history = checkpoint.read()
    assert history.current == "generation-2"
    assert history.identity == replace(IDENTITY, watermark=50)
    checkpoint.keep_identity(10, "generation-2", replace(IDENTITY, watermark=40))
    history = checkpoint.read()
    assert history.identity == replace(IDENTITY, watermark=40)


def test_writers_of_long_ago_are_forgotten(server: ChromaServer) -> None:
    """Every replica reads the books all the time: they do not grow with each start for ever."""
    checkpoint = server.registry
    for token in range(1, 6):
        checkpoint.keep_term(WriterTerm(token, 10 * token, ended=True))
        checkpoint.use(token, "generation-1")
        checkpoint.keep_identity(token, "generation-1", replace(IDENTITY, watermark=token))
    checkpoint.forget_writers(before=4)
    history = checkpoint.read()
    assert [one.token for one in history.terms] == [4, 5]
    assert (history.current, history.identity) == ("generation-1", replace(IDENTITY, watermark=5))


def test_an_index_is_begun_found_again_and_replaced(
    server: ChromaServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shelf works on the server as it does on a directory; what was replaced is removed after a while."""
    earlier = SharedGenerations(tmp_path / "one", server, FakeFence(1))
    first = GenerationStore(earlier, earlier.open, MODEL, NO_MODEL_FILES).open(LOG)
    assert first.is_new
    first.store.write(C, writes_of(row()))
    generations = SharedGenerations(tmp_path / "two", server, FakeFence(2))
    generation_store = GenerationStore(generations, generations.open, MODEL, NO_MODEL_FILES)
    again = generation_store.open(LOG)
    assert (again.is_new, again.path.name, again.identity) == (False, first.path.name, first.identity)
    assert probe_server(server, again.path.name) is None
    after = generation_store.begin_next(again)
    after.store.set_identity(replace(after.identity, watermark=7))
    generation_store.finish(after)
    generations.drop(again.path)
    history = server.registry.read()
    assert (history.current, history.identity) == (after.path.name, replace(first.identity, watermark=7))
    generations.sweep()
    assert server.open(first.path.name).count(C) == 1
    monkeypatch.setattr(shared_generations, "_GRACE_S", 0.0)
    generations.sweep()
    assert server.generations() == [after.path.name]
    assert list(server.registry.read().identities) == [after.path.name]


def test_a_generation_that_the_server_lost_is_begun_anew_by_its_name(server: ChromaServer, tmp_path: Path) -> None:
    """CURRENT without a generation is damage; the index keeps the name that the lease remembers."""
    server.registry.use(1, "generation-000001-gone")
    generations = SharedGenerations(tmp_path / "notes", server, FakeFence(2))
    assert generations.is_damaged()
    assert probe_server(server, "generation-000001-gone") is not None
    begun = GenerationStore(generations, generations.open, MODEL, NO_MODEL_FILES).open(LOG, orphan="b" * 32)
    assert (begun.is_new, begun.identity.uuid) == (True, "b" * 32)
    assert server.registry.read().current == begun.path.name


def test_notes_of_an_earlier_time_hold_no_text(server: ChromaServer, tmp_path: Path) -> None:
    """What another writer deleted since is not kept here; what was in hand is remembered."""
    generations = SharedGenerations(tmp_path / "notes", server, FakeFence(1))
    kept = tmp_path / "notes" / "generation-1"
    (kept / "model").mkdir(parents=True)
    (kept / "vectors.sqlite").write_bytes(b"x")
    (kept / "in-hand.json").write_text("{}", encoding="utf-8")
    generations.tidy()
    assert [one.name for one in kept.iterdir()] == ["in-hand.json"]


def test_a_server_that_does_not_answer_is_no_broken_index(tmp_path: Path) -> None:
    """It is waited out, and nothing is begun anew for it."""
    with chroma_server(tmp_path) as url:
        server = ChromaServer.connect(Settings(precedent_chroma_url=url))
        store = server.open("generation-1", FakeFence())
        store.write(C, writes_of(row()))
    with pytest.raises(StoreUnavailable):
        store.rows(C, ["e1"])
    with pytest.raises(StoreUnavailable):
        server.registry.read()
    with pytest.raises(StoreUnavailable):
        probe_server(server, "generation-1")


@pytest.mark.parametrize("url", ["chroma:8000", "http://", "http://u:p@host:1", "http://host:1/path", "ftp://host"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """With what is wrong with it, and without a password that may stand in it."""
    with pytest.raises(StartRefused, match="PRECEDENT_CHROMA_URL") as refused:
        ChromaServer.connect(Settings(precedent_chroma_url=url))
    assert "u:p" not in str(refused.value)


def test_a_server_that_is_not_there_is_named() -> None:
    """After the time that a start may take."""
    with pytest.raises(StartRefused, match="no Chroma server answers"):
        ChromaServer.connect(Settings(precedent_chroma_url="http://127.0.0.1:1", precedent_start_timeout_s=0.1))
