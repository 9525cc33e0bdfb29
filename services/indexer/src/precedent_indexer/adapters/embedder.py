"""Turns text into vectors with the built model: the only importer of `onnxruntime` and `tokenizers`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from numpy.typing import NDArray
from tokenizers import Tokenizer

from precedent_indexer.model import DIMENSIONS, MAX_TOKENS, NAME, ModelError, ModelFiles, ModelInfo

BATCH_TOKENS = 512
"""Padded tokens computed at once: what cost least CPU time for a text, since the working set stays in the caches."""

_SPECIAL_TOKENS = 2  # [CLS] and [SEP] around every window
_FATAL_ONLY = 4


@dataclass(frozen=True, slots=True)
class _Window:
    """Word pieces that go through the model together, and the row that they belong to."""

    row: int
    ids: list[int]

    @property
    def weight(self) -> int:
        """Its share in the vector of the text: the pieces that are text; one for a text without any."""
        return max(1, len(self.ids) - _SPECIAL_TOKENS)


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 in ONNX Runtime on the CPU.

    A text of more than 256 word pieces is cut into adjacent windows; its vector is the mean of the windows'
    unit vectors, weighted by their pieces, brought to length one. Safe to use from several threads at once.
    """

    def __init__(self, session: onnxruntime.InferenceSession, tokenizer: Tokenizer, model: ModelInfo) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._model = model

    @classmethod
    def open(cls, model_dir: Path, *, threads: int) -> Self:
        """Check the built files and load them; `threads` compute one batch together.

        Raises:
            ModelError: The model is missing, damaged or of another version; the message says how to build it.
            ValueError: `threads` is below one.
        """
        if threads < 1:
            raise ValueError(f"threads is {threads}: give at least 1")
        files = ModelFiles.read(model_dir)
        model = ModelInfo(NAME, files.fingerprint, DIMENSIONS, f"onnxruntime {onnxruntime.__version__} fp32")
        return cls(_session(files.graph, threads), _tokenizer(files.tokenizer), model)

    @property
    def model(self) -> ModelInfo:
        """Which model makes the vectors."""
        return self._model

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts of any length: float32 (texts, 384), rows of length one in the order given.

        Equal texts get equal rows. The same text in another call may differ in the last bits, by the company it is
        padded with. A lone surrogate, which is no character, counts as a question mark.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        vectors = np.zeros((len(rows), DIMENSIONS), np.float32)
        for batch in _batches(self._windows(list(rows))):
            weights = np.array([[window.weight] for window in batch], np.float32)
            np.add.at(vectors, [window.row for window in batch], weights * self._run(batch))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors[[rows[text] for text in texts]]

    def _windows(self, texts: Sequence[str]) -> list[_Window]:
        encodings = self._tokenizer.encode_batch_fast([_encodable(text) for text in texts])
        return [
            _Window(row, part.ids)
            for row, encoding in enumerate(encodings)
            for part in (encoding, *encoding.overflowing)
        ]

    def _run(self, batch: Sequence[_Window]) -> NDArray[np.float32]:
        """Unit vectors of a batch of windows."""
        shape = len(batch), max(len(window.ids) for window in batch)
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        (vectors,) = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, np.float32)


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Windows of like length together, so that little of a batch is padding."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda window: len(window.ids)):
        if batch and (len(batch) + 1) * len(window.ids) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _tokenizer(path: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{path} cannot be loaded as a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS, stride=0)  # what is cut off comes back as `overflowing`
    return tokenizer


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # A thread that spins while it waits takes half as much CPU time again from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
