"""A stand-in of the service that Precedent replaces: HTTP, one `add` for each request, Chroma's default embedding.

    old_service.py FOLDER MODEL_DIR PORT_FILE

Everything that costs time is Chroma's own code: the default embedding function, which is made anew for each call,
loads tokenizer and model again each time, and pads every text to 256 word pieces. Only its model files are ours:
their graph pools by itself, so what it gives is handed to Chroma's pooling as 256 equal rows, whose mean it is.
"""

import asyncio
import functools
import json
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import uvicorn
from chromadb.api.types import Documents, EmbeddingFunction, Embeddings
from chromadb.config import Settings
from chromadb.utils.embedding_functions.onnx_mini_lm_l6_v2 import ONNXMiniLM_L6_V2

_PIECES = 256


class _Pooled:
    """The model as Chroma calls it."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        """Run the graph, which knows no token types."""
        wanted = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        (vectors,) = self._session.run(None, wanted)
        return [np.broadcast_to(vectors[:, None, :], (len(vectors), _PIECES, vectors.shape[1]))]


class _SameModel(ONNXMiniLM_L6_V2):
    """Chroma's own function on other files of the same model."""

    def _download_model_if_not_exists(self) -> None:
        """Leave the network alone: the files are there."""

    @functools.cached_property
    def model(self) -> _Pooled:
        """The session, made as Chroma makes it."""
        return _Pooled(super().model)


class DefaultEmbedding(EmbeddingFunction[Documents]):
    """As Chroma's default: a new function, and with it a new session, for each call."""

    def __init__(self) -> None:
        """Nothing to keep."""

    def __call__(self, input: Documents) -> Embeddings:  # noqa: A002 -- Chroma's name
        """Vectors of documents."""
        return _SameModel()(input)

    @staticmethod
    def name() -> str:
        """How the collection remembers it."""
        return "same-as-default"

    def get_config(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    @staticmethod
    def build_from_config(config: dict[str, Any]) -> "DefaultEmbedding":
        """As it was."""
        del config
        return DefaultEmbedding()


class Service:
    """The ASGI application; each request is answered in a thread, as web frameworks do for plain functions."""

    def __init__(self, folder: Path) -> None:
        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        # Chroma's type wants a function of images as well.
        embedding: Any = DefaultEmbedding()
        self._events = client.create_collection("events", embedding_function=embedding)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        request = json.loads(body or b"{}")
        answer = json.dumps(await asyncio.to_thread(self._answer, scope["path"], request)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, path: str, request: dict[str, Any]) -> dict[str, Any]:
        if path == "/add":
            self._events.add(ids=[request["id"]], documents=[request["text"]], metadatas=[request["metadata"]])
            return {"id": request["id"]}
        if path == "/query":
            found = self._events.query(query_texts=[request["text"]], n_results=request["k"])
            return {"ids": found["ids"][0]}
        return {"count": self._events.count()}


def main(folder: Path, model_dir: Path, port_file: Path) -> None:
    """Serve until SIGTERM."""
    # Where Chroma looks for the files of its model.
    model = folder / "model"
    (model / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME).mkdir(parents=True)
    for name in ("model.onnx", "tokenizer.json"):
        (model / ONNXMiniLM_L6_V2.EXTRACTED_FOLDER_NAME / name).symlink_to((model_dir / name).resolve())
    _SameModel.DOWNLOAD_PATH = model
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(Service(folder / "chroma"), lifespan="off", log_level="warning", access_log=False)
    draft = port_file.with_suffix(".draft")
    draft.write_text(str(listener.getsockname()[1]), encoding="ascii")
    draft.replace(port_file)
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
