"""Turns text into vectors with the built model: the only importer of the model runtimes and of `tokenizers`.

OpenVINO computes the graph where it is installed, in bf16 on a processor that has it in hardware (elsewhere it would
be emulated, a hundred times slower), otherwise in fp32. ONNX Runtime computes it where OpenVINO has no wheels, and
single questions in fp32, at which it is quicker. All agree with each other to a cosine of 0.9999 and share one
fingerprint.
"""

import importlib.util
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from precedent_indexer.domain.index_state import ModelInfo
from precedent_indexer.embedding.model_files import DIMENSIONS, MAX_TOKENS, NAME, ModelError, ModelFiles
from precedent_indexer.settings import switch_off_telemetry

switch_off_telemetry()

BATCH_TOKENS = 512
"""Padded tokens computed at once: what cost least CPU time for a text, since the working set stays in the caches."""

_IN_FLIGHT = 8
"""Batches in the runtime at the same time: it goes from one to the next without waiting for the interpreter."""
_SPECIAL_TOKENS = 2  # [CLS] and [SEP] around every window
_FATAL_ONLY = 4
_WARM_UP_TOKENS = range(8, 72, 8)

Runtime = Literal["auto", "openvino", "onnxruntime"]
Batch = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Ids and mask, both (windows, tokens)."""
Run = Callable[[Sequence[Batch]], list[NDArray[np.float32]]]
"""Batches to the unit vectors (windows, 384) of each."""


@dataclass(frozen=True, slots=True)
class _Window:
    """Word pieces of one pass through the model, and the row of their text."""

    row: int
    ids: list[int]

    @property
    def weight(self) -> int:
        """Weight in the vector of the text: the number of word pieces without special tokens, at least one."""
        return max(1, len(self.ids) - _SPECIAL_TOKENS)


class MiniLmEmbedder:
    """all-MiniLM-L6-v2 on the CPU.

    A text of more than 256 word pieces is cut into adjacent windows; its vector is the mean of the windows'
    unit vectors, weighted by their pieces, brought to length one. Safe to use from several threads at once.
    """

    def __init__(self, run: Run, tokenizer: Tokenizer, model: ModelInfo, multiple: int) -> None:
        self._infer = run
        self._tokenizer = tokenizer
        self._model = model
        self._multiple = multiple

    @classmethod
    def open(cls, model_dir: Path, *, threads: int, runtime: Runtime = "auto", questions: bool = False) -> Self:
        """Check the built files and load them; `threads` compute one batch together.

        Args:
            model_dir: where `build-model` put the files.
            threads: at least one.
            runtime: `auto` takes what is fastest here.
            questions: for single texts, quickly, rather than for batches.

        Raises:
            ModelError: the model is missing, damaged or of another version, or the runtime is not installed.
            ValueError: `threads` is below one.
        """
        if threads < 1:
            raise ValueError(f"threads is {threads}: give at least 1")
        files = ModelFiles.read(model_dir)
        run, name, multiple = _loaded(files.graph, threads, runtime, questions=questions)
        model = ModelInfo(NAME, files.fingerprint, DIMENSIONS, name)
        embedder = cls(run, _tokenizer(files.tokenizer), model, multiple)
        if multiple > 1:
            for tokens in _WARM_UP_TOKENS:
                run([embedder._padded([_Window(0, [0] * tokens)])])
        return embedder

    @property
    def model(self) -> ModelInfo:
        """Which model makes the vectors."""
        return self._model

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts of any length: float32 (texts, 384), rows of length one in the order given.

        Equal texts get equal rows. The vector of a text may differ in its last bits between calls, depending on the
        texts in its batch. A lone surrogate is replaced by a question mark.
        """
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        vectors = np.zeros((len(rows), DIMENSIONS), np.float32)
        batches = list(_batches(self._windows(list(rows))))
        for batch, found in zip(batches, self._infer([self._padded(batch) for batch in batches]), strict=True):
            weights = np.array([[window.weight] for window in batch], np.float32)
            np.add.at(vectors, [window.row for window in batch], weights * found)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors[[rows[text] for text in texts]]

    def _windows(self, texts: Sequence[str]) -> list[_Window]:
        encodings = self._tokenizer.encode_batch_fast([_encodable(text) for text in texts])
        return [
            _Window(row, part.ids)
            for row, encoding in enumerate(encodings)
            for part in (encoding, *encoding.overflowing)
        ]

    def _padded(self, batch: Sequence[_Window]) -> Batch:
        longest = max(len(window.ids) for window in batch)
        shape = len(batch), -(-longest // self._multiple) * self._multiple
        ids, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, window in enumerate(batch):
            ids[row, : len(window.ids)] = window.ids
            mask[row, : len(window.ids)] = 1
        return ids, mask


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Windows of similar length share a batch, so that little of it is padding."""
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


def _loaded(graph: Path, threads: int, runtime: Runtime, *, questions: bool) -> tuple[Run, str, int]:
    """The compiled graph, the name of its runtime, and the number that token counts are padded to a multiple of."""
    installed = importlib.util.find_spec("openvino") is not None
    if runtime == "openvino" and not installed:
        raise ModelError("openvino is not installed: unset PRECEDENT_RUNTIME or set it to onnxruntime")
    if runtime == "onnxruntime" or not installed:
        return _in_onnxruntime(graph, threads)
    import openvino  # type: ignore[import-untyped]  # noqa: PLC0415 -- no types, and no wheels for some machines

    core = openvino.Core()
    # Only if the processor computes bf16: otherwise it would be emulated.
    in_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if runtime == "auto" and questions and not in_bf16:
        return _in_onnxruntime(graph, threads)
    properties: dict[str, Any] = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "bf16" if in_bf16 else "f32",
        # Pinned threads cannot leave a core that another process is using.
        "ENABLE_CPU_PINNING": False,
    }
    name = f"openvino {openvino.__version__.partition('-')[0]} {'bf16' if in_bf16 else 'fp32'}"
    # The first run of each shape is slow, which matters for a question and not for a batch of events.
    return _in_openvino(core.compile_model(graph, "CPU", properties)), name, _WARM_UP_TOKENS.step if questions else 1


def _in_openvino(model: Any) -> Run:  # noqa: ANN401 -- openvino ships no types
    idle = queue.SimpleQueue[Any]()

    def begin(batch: Batch) -> Any:  # noqa: ANN401 -- as above
        # A request serves one batch at a time, so requests are reused.
        try:
            request = idle.get_nowait()
        except queue.Empty:
            request = model.create_infer_request()
        ids, mask = batch
        request.start_async({"input_ids": ids, "attention_mask": mask}, share_inputs=True)
        return request

    def end(request: Any) -> NDArray[np.float32]:  # noqa: ANN401 -- as above
        request.wait()
        vectors = np.array(request.get_output_tensor().data, np.float32)
        idle.put(request)
        return vectors

    def run(batches: Sequence[Batch]) -> list[NDArray[np.float32]]:
        vectors: list[NDArray[np.float32]] = []
        begun = deque[Any]()
        try:
            for batch in batches:
                if len(begun) == _IN_FLIGHT:
                    vectors.append(end(begun.popleft()))
                begun.append(begin(batch))
            while begun:
                vectors.append(end(begun.popleft()))
        finally:
            # After a failure: the inputs must live until the requests have ended.
            for request in begun:
                request.cancel()
                request.wait()
        return vectors

    return run


def _in_onnxruntime(graph: Path, threads: int) -> tuple[Run, str, int]:
    import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 -- ships no types; loaded only if it is used

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # A thread that spins while it waits takes half as much CPU time again from everything else on the machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def run(batches: Sequence[Batch]) -> list[NDArray[np.float32]]:
        return [
            np.asarray(session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})[0], np.float32)
            for ids, mask in batches
        ]

    return run, f"onnxruntime {onnxruntime.__version__} fp32", 1
