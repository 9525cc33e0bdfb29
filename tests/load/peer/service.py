"""The peer: what a competent engineer would write in an afternoon to index events from JetStream into Chroma.

    service.py NATS_URL FOLDER MODEL_DIR

A batch pull consumer, the same model on ONNX Runtime (fp32, loaded once, batches padded to their longest text),
Chroma embedded, events acknowledged after the upsert, questions by request-reply. Blocking work runs in threads, so
that questions are answered while events are indexed. It has no answer to poison, order, equal texts, rebuilds,
read-your-write or anything else that Precedent promises.
"""

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import chromadb
import nats
import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from chromadb.config import Settings
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from numpy.typing import NDArray
from tokenizers import Tokenizer

STREAM = "PEER_EVENTS"
SUBJECTS = "peer.events.>"
BATCH = 64
FETCH_S = 0.25


class Embedder:
    """Texts to unit vectors."""

    def __init__(self, model_dir: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(model_dir / "tokenizer.json"))
        self._tokenizer.enable_truncation(256)
        self._tokenizer.enable_padding()
        self._session = onnxruntime.InferenceSession(model_dir / "model.onnx", providers=["CPUExecutionProvider"])

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        """One row for each text."""
        encodings = self._tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": np.array([one.ids for one in encodings], np.int64),
            "attention_mask": np.array([one.attention_mask for one in encodings], np.int64),
        }
        (vectors,) = self._session.run(["embedding"], inputs)
        return np.asarray(vectors, np.float32)


class Index:
    """Events in Chroma."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
        self._events = client.get_or_create_collection(
            "events", embedding_function=None, configuration={"hnsw": {"space": "cosine"}}
        )
        self._embedder = embedder

    def put(self, events: list[dict[str, Any]]) -> None:
        """Store a batch; the last of those with one id wins."""
        by_id = {str(event["id"]): event for event in events}
        texts = [str(event["text"]) for event in by_id.values()]
        keys = ("kind", "severity", "source", "user", "ip", "occurred_at")
        self._events.upsert(
            ids=list(by_id),
            embeddings=self._embedder.embed(texts),
            documents=texts,
            metadatas=[{key: event.get(key) for key in keys} for event in by_id.values()],
        )

    def search(self, text: str, k: int) -> dict[str, object]:
        """The nearest events."""
        found: Any = self._events.query(query_embeddings=self._embedder.embed([text]), n_results=k)
        return {"ids": found["ids"][0], "distances": found["distances"][0], "texts": found["documents"][0]}

    def count(self) -> dict[str, object]:
        """How many."""
        return {"count": self._events.count()}


async def serve(url: str, index: Index) -> None:
    """Index and answer until SIGTERM."""
    client = await nats.connect(url)
    stream = client.jetstream()

    async def on_search(message: Msg) -> None:
        tasks.add(task := asyncio.create_task(answer(message)))
        task.add_done_callback(tasks.discard)

    async def answer(message: Msg) -> None:
        request = json.loads(message.data)
        found: Any = await asyncio.to_thread(index.search, request["text"], request["k"])
        await message.respond(json.dumps(found).encode())

    async def on_count(message: Msg) -> None:
        await message.respond(json.dumps(await asyncio.to_thread(index.count)).encode())

    async def consume() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                messages = await feed.fetch(BATCH, timeout=FETCH_S)
                if not messages:
                    continue
                await asyncio.to_thread(index.put, [json.loads(message.data) for message in messages])
                for message in messages:
                    await message.ack()

    tasks: set[asyncio.Task[None]] = set()
    await stream.add_stream(name=STREAM, subjects=[SUBJECTS])
    feed = await stream.pull_subscribe(SUBJECTS, durable="peer", config=ConsumerConfig(ack_wait=60))
    await client.subscribe("peer.search", cb=on_search)
    await client.subscribe("peer.count", cb=on_count)
    consuming = asyncio.create_task(consume())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, consuming.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await consuming
    await client.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], Index(Path(sys.argv[2]), Embedder(Path(sys.argv[3])))))
