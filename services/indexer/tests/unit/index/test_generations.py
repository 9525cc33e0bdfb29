"""Whether the index that is there may be used: every misfit begins it anew, a fitting one is kept."""

import gc
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fakes.beside_store import NO_MODEL_FILES
from fakes.making import row, unit, writes_of
from fakes.vector_store import FakeVectorStore
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.domain.index_state import Identity, ModelInfo
from precedent_indexer.domain.messages import LogState
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.errors import IndexBroken
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.index.generations import Generation, GenerationStore
from precedent_indexer.index.log_match import with_watermark

LOG = LogState("2026-01-01T00:00:00Z", 1, 100, 100, 1000)
MODEL = ModelInfo("fake", "sha256:1", 384, "fake")


class Disk:
    """Stores by directory, as files would keep them."""

    def __init__(self, path: Path) -> None:
        self.directory = IndexDirectory(path)
        self.stores: dict[Path, FakeVectorStore] = {}
        self.broken: set[Path] = set()

    def open_store(self, path: Path) -> VectorStore:
        """The store in this directory."""
        if path in self.broken:
            raise IndexBroken(f"{path.name} is broken")
        return self.stores.setdefault(path, FakeVectorStore())

    def start(self, log: LogState = LOG, model: ModelInfo = MODEL, orphan: str | None = None) -> Generation:
        """As a start of the indexer does."""
        return GenerationStore(self.directory, self.open_store, model, NO_MODEL_FILES).open(log, orphan=orphan)

    def used(self) -> FakeVectorStore:
        """The store in use."""
        current = self.directory.current()
        assert current is not None
        return self.stores[current]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """An index that has read up to 50 and holds an event."""
    made = Disk(tmp_path)
    index = made.start()
    index.store.set_identity(with_watermark(index.identity, 50))
    index.store.write("incidents", writes_of(row()))
    yield made
    made.directory.close()


def test_a_first_start_begins_an_index(tmp_path: Path) -> None:
    """It knows its log and its model, has read nothing, and has both standing collections."""
    disk = Disk(tmp_path)
    index = disk.start()
    assert index.is_new
    assert index.store.collections() == ["incidents", "rules"]
    assert (index.identity.stream_created, index.identity.fingerprint) == (LOG.created, MODEL.fingerprint)
    assert (index.identity.watermark, index.store.identity()) == (0, index.identity)
    assert disk.used() is index.store


def test_a_fitting_index_is_kept(disk: Disk) -> None:
    """Same log, same model, not ahead of the log: rows, identity and watermark are as they were."""
    before = disk.used()
    index = disk.start(replace(LOG, last_seq=50, messages=0))
    assert not index.is_new
    assert index.store is before
    assert index.identity.watermark == 50
    assert index.store.count("incidents") == 1


def spoil(change: Callable[[Identity], Identity]) -> Callable[[Disk], None]:
    """Make the index say something else of itself."""

    def do(disk: Disk) -> None:
        identity = disk.used().identity()
        assert identity is not None
        disk.used().set_identity(change(identity))

    return do


MISFITS: dict[str, Callable[[Disk], None]] = {
    "another log": spoil(lambda one: replace(one, stream_created="2020-01-01T00:00:00Z")),
    "another format": spoil(lambda one: replace(one, index_format=one.index_format + 1)),
    "ahead of its log": spoil(lambda one: replace(one, watermark=101)),
    "says not what it is": lambda disk: disk.stores.update({disk.directory.current(): FakeVectorStore()}),  # type: ignore[dict-item]
    "broken": lambda disk: disk.broken.add(disk.directory.current()),  # type: ignore[arg-type]
    "lost": lambda disk: (disk.directory.path / "CURRENT").unlink(),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_a_misfit_is_begun_anew(disk: Disk, misfit: str) -> None:
    """The old generation is gone, the new one is empty, another index, and reads from the start."""
    old_store, old_identity, old_path = disk.used(), disk.used().identity(), disk.directory.current()
    assert old_identity is not None
    assert old_path is not None
    MISFITS[misfit](disk)
    index = disk.start()
    assert index.is_new
    assert index.store is not old_store
    assert index.identity.uuid != old_identity.uuid
    assert index.identity.watermark == index.store.count("incidents") == 0
    assert not old_path.exists()
    kept = disk.directory.current()
    assert kept is not None
    assert sorted(one.name for one in disk.directory.path.iterdir()) == sorted(["CURRENT", kept.name])
    assert not disk.start().is_new


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_is_begun_goes_on_for_the_index_that_nobody_uses(disk: Disk, misfit: str) -> None:
    """Under the name that the consumer has: a copy of the lost one can be put back, and is fed."""
    MISFITS[misfit](disk)
    index = disk.start(orphan="theirs")
    assert (index.is_new, index.identity.uuid, index.identity.watermark) == (True, "theirs", 0)
    assert index.store.identity() == index.identity


def test_an_index_that_has_read_something_keeps_its_name(disk: Disk) -> None:
    """It is another one than the consumer's, and whoever started it must decide."""
    before = disk.used().identity()
    assert before is not None
    assert disk.start(orphan="theirs").identity == before


def test_an_index_that_has_read_nothing_goes_on_for_the_orphan(tmp_path: Path) -> None:
    """Nothing is lost with its name, and it has it for good."""
    disk = Disk(tmp_path)
    disk.start()
    assert disk.start(orphan="theirs").identity.uuid == "theirs"
    assert disk.start().identity.uuid == "theirs"


def test_an_index_of_another_model_answers_until_it_is_rebuilt(disk: Disk) -> None:
    """It stays in use, with its rows and its watermark, and says why it should not."""
    before = disk.used()
    index = disk.start(model=replace(MODEL, fingerprint="sha256:2"))
    assert index.store is before
    assert (index.is_new, index.identity.fingerprint, index.identity.watermark) == (False, "sha256:1", 50)
    assert index.outdated == "its vectors are of model sha256:1, this is sha256:2"


def test_what_a_probe_finds_broken_is_not_even_opened(disk: Disk) -> None:
    """Opening it could end the process: it is begun anew, and its vectors are handed on."""
    first = disk.start()
    first.vectors.keep("incidents", {"a text": unit(1)})
    first.close()
    broken = disk.directory.current()
    assert broken is not None
    opened: list[Path] = []

    def open_store(path: Path) -> VectorStore:
        opened.append(path)
        return disk.open_store(path)

    index = GenerationStore(disk.directory, open_store, MODEL, NO_MODEL_FILES).open(LOG, broken="its probe failed")
    assert index.is_new
    assert broken not in opened
    assert "a text" in index.vectors.find("incidents", ["a text"])
    index.close()


def test_a_generation_carries_its_model(tmp_path: Path) -> None:
    """The files of the model lie in each generation that is begun; where they cannot, it goes without."""
    files = tmp_path / "model"
    files.mkdir()
    (files / "manifest.json").write_text("a manifest")
    disk = Disk(tmp_path / "index")
    index = GenerationStore(disk.directory, disk.open_store, MODEL, files).open(LOG)
    assert (index.path / "model" / "manifest.json").read_text() == "a manifest"
    again = GenerationStore(disk.directory, disk.open_store, MODEL, tmp_path / "missing").begin(LOG)
    assert not (again.path / "model").exists()
    disk.directory.close()


def test_a_generation_left_by_a_crash_is_swept_away(disk: Disk) -> None:
    """What a start left unfinished is removed by the next one, and the index in use stays."""
    left = disk.directory.new()
    assert not disk.start().is_new
    assert not left.exists()


def _until_closed(generation: Path) -> None:
    """Chroma closes its files in threads of its own, and would mend from its write-ahead log what is spoiled before."""
    while any(str(generation) in os.path.realpath(one) for one in Path("/proc/self/fd").glob("*")):
        gc.collect()
        time.sleep(0.005)


def test_files_that_are_no_chroma_are_begun_anew(tmp_path: Path) -> None:
    """The real store, its database overwritten: noticed at start, said, and begun anew."""
    directory = IndexDirectory(tmp_path)
    first = GenerationStore(directory, ChromaStore.open, MODEL, NO_MODEL_FILES).open(LOG)
    first_uuid = first.identity.uuid
    generation = directory.current()
    assert generation is not None
    first.close()
    del first
    _until_closed(generation)
    for database in generation.glob("chroma.sqlite3*"):
        database.write_bytes(b"not a database" * 1000)
    again = GenerationStore(directory, ChromaStore.open, MODEL, NO_MODEL_FILES).open(LOG)
    assert again.is_new
    assert again.identity.uuid != first_uuid
    again.store.close()
    kept = GenerationStore(directory, ChromaStore.open, MODEL, NO_MODEL_FILES).open(LOG)
    assert (kept.is_new, kept.identity) == (False, again.identity)
    kept.store.close()
    directory.close()
