"""What every embedder promises; the model and the fake keep the same promises."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fakes.embedder import FakeEmbedder
from precedent_indexer.adapters.model.embedder import MiniLmEmbedder

TEXTS = [
    "failed login for admin",
    "malware found in the mail of the finance department and put into quarantine by the gateway",
    "x",
    "5000 failed logins for admin in 30 s from 203.0.113.7",
    "outbound connection to an unknown host, " * 20,
    "Schlüssel ungültig 🚨 不正なログイン",
]
LONG = "disk report: volume is healthy and has space left. " * 60

Embedder = MiniLmEmbedder | FakeEmbedder


@pytest.fixture(scope="module", params=["openvino", "onnxruntime", "questions", "fake"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    """The embedder under test."""
    if request.param == "fake":
        return FakeEmbedder()
    model_dir = request.getfixturevalue("model_dir")
    if request.param == "questions":
        return MiniLmEmbedder.open(model_dir, threads=1, questions=True)
    return MiniLmEmbedder.open(model_dir, threads=1, runtime=request.param)


def test_shape_and_length(embedder: Embedder) -> None:
    """Each text gets one float32 row of the announced width and of length one."""
    vectors = embedder.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), embedder.model.dimensions)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_order_is_kept(embedder: Embedder) -> None:
    """Row i belongs to text i, whatever the order in which texts of other lengths surround it."""
    forward = embedder.embed(TEXTS)
    backward = embedder.embed(TEXTS[::-1])[::-1]
    np.testing.assert_allclose(np.sum(forward * backward, axis=1), 1.0, atol=1e-5)
    similar = forward @ backward.T
    assert similar.argmax(axis=1).tolist() == list(range(len(TEXTS)))


def test_same_call_same_vectors(embedder: Embedder) -> None:
    """The same call made again gives the same bits."""
    np.testing.assert_array_equal(embedder.embed(TEXTS), embedder.embed(TEXTS))


def test_company_does_not_matter(embedder: Embedder) -> None:
    """A text embedded alone and among many others has the same direction."""
    many = [f"{text} {number}" for number in range(12) for text in TEXTS]
    together = embedder.embed([*TEXTS, LONG, *many])[: len(TEXTS) + 1]
    alone = np.concatenate([embedder.embed([text]) for text in [*TEXTS, LONG]])
    assert np.sum(together * alone, axis=1).min() >= 0.99999


def test_no_texts(embedder: Embedder) -> None:
    """No texts give no rows, of the right width."""
    vectors = embedder.embed([])
    assert vectors.shape == (0, embedder.model.dimensions)
    assert vectors.dtype == np.float32


def test_equal_texts_equal_vectors(embedder: Embedder) -> None:
    """Equal texts in one call get exactly equal rows, and other texts do not."""
    vectors = embedder.embed([TEXTS[0], TEXTS[1], TEXTS[0], LONG, TEXTS[1], LONG])
    for first, second in [(0, 2), (1, 4), (3, 5)]:
        np.testing.assert_array_equal(vectors[first], vectors[second])
    assert not np.array_equal(vectors[0], vectors[1])


def test_tail_of_long_text_matters(embedder: Embedder) -> None:
    """What a long text says at its end moves its vector towards just that."""
    tail = "attacker encrypted all backups and demands a ransom "
    plain, told, question = embedder.embed([LONG, LONG + tail * 20, tail])
    assert told @ question > plain @ question + 0.1


@pytest.mark.parametrize("text", ["", " ", "\n\t", ".", "\x00", "\ud800", "\u200b", "[PAD]", "a" * 5000, "\U0010ffff"])
def test_odd_texts_have_a_direction(embedder: Embedder, text: str) -> None:
    """No string, however odd, makes a row that is not finite or not of length one."""
    vectors = embedder.embed([text, "failed login", text])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_threads_share_one_embedder(embedder: Embedder) -> None:
    """Calls from several threads at once get the rows of their own texts."""
    expected = [embedder.embed([text]) for text in TEXTS]
    with ThreadPoolExecutor(max_workers=3) as pool:
        found = list(pool.map(lambda text: embedder.embed([text]), TEXTS * 3))
    for vectors, wanted in zip(found, expected * 3, strict=True):
        np.testing.assert_allclose(vectors, wanted, atol=1e-5)
