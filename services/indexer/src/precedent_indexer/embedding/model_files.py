"""The files of the embedding model: their manifest and checksums.

The builder writes the files; the embedder refuses files that differ from the manifest. Neither needs a model library
for that.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NAME = "all-MiniLM-L6-v2"
DIMENSIONS = 384
MAX_TOKENS = 256
"""Word pieces in one window, [CLS] and [SEP] included: the length that the model was trained for."""
POOLING_SCHEME = "adjacent-windows-1"
"""Rename it with every change that gives a text another vector: every index is then rebuilt automatically."""

WEIGHTS = "model.safetensors"
GRAPH = "model.onnx"
TOKENIZER = "tokenizer.json"
MANIFEST = "manifest.json"
DEFAULT_MODEL_DIR = Path(sys.prefix) / "share" / "precedent-indexer" / "model"

_REMEDY = "build it with `precedent-indexer build-model`"


class ModelError(Exception):
    """The model cannot be used as it is; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A built model: a directory with the graph, the tokenizer and a manifest of their hashes.

    Attributes:
        directory: Where the files are.
        weights_sha256: Hash of the published weights that the graph holds, in hex.
        sha256: Hash of every built file but the manifest, in hex, by file name.
    """

    directory: Path
    weights_sha256: str
    sha256: dict[str, str]

    @property
    def graph(self) -> Path:
        """The ONNX graph."""
        return self.directory / GRAPH

    @property
    def tokenizer(self) -> Path:
        """The published tokenizer."""
        return self.directory / TOKENIZER

    @property
    def fingerprint(self) -> str:
        """Identity of the vectors: the weights, the tokenizer, and how text becomes windows and windows a vector."""
        parts = (self.weights_sha256, self.sha256[TOKENIZER], str(MAX_TOKENS), POOLING_SCHEME)
        return "sha256:" + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def manifest(self) -> str:
        """The text of the manifest file."""
        content = {
            "name": NAME,
            "fingerprint": self.fingerprint,
            "dimensions": DIMENSIONS,
            "weights_sha256": self.weights_sha256,
            "sha256": dict(sorted(self.sha256.items())),
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read the manifest in `directory` and check every file against it.

        Raises:
            ModelError: A file is missing, unreadable or not the one that was built, or another version built it.
        """
        path = directory / MANIFEST
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            sha256 = {name: str(content["sha256"][name]) for name in (GRAPH, TOKENIZER)}
            files = cls(directory, str(content["weights_sha256"]), sha256)
        except OSError as error:
            raise ModelError(f"no model at {directory}: {path.name} cannot be read ({error}); {_REMEDY}") from error
        except (ValueError, LookupError, TypeError) as error:
            raise ModelError(f"{path} is not a model manifest ({error!r}); {_REMEDY}") from error
        if content != json.loads(files.manifest()):
            raise ModelError(
                f"{path} describes the model {content.get('fingerprint')!r}, this version uses "
                f"{files.fingerprint!r} of {NAME}; {_REMEDY}"
            )
        for name, expected in files.sha256.items():
            check_sha256(directory / name, expected, remedy=_REMEDY)
        return files


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hex.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str, *, remedy: str) -> None:
    """Make sure that `path` holds exactly the expected bytes.

    Raises:
        ModelError: It does not, or cannot be read; the message ends with `remedy`.
    """
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error}); {remedy}") from error
    if found != expected:
        raise ModelError(f"{path} has SHA-256 {found}, expected {expected}; {remedy}")
