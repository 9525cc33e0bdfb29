"""Fills an index from the log with the indexer's own parts, all but the model: for measurements of large indexes.

    fill_index.py TEXTS.json ANSWER.json

Settings are the indexer's. Vectors are synthetic: the real vector of one of a few hundred real texts, chosen by
the event's own text, moved by a random step; the fingerprint is the real model's, so that `serve` takes the index
for its own.
"""

import asyncio
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from precedent_indexer import settings
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.dead_letters import JetStreamDeadLetters
from precedent_indexer.adapters.nats.log import JetStreamLog
from precedent_indexer.app.models import open_sessions
from precedent_indexer.domain.index_state import ModelInfo
from precedent_indexer.domain.messages import LogMessage
from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR
from precedent_indexer.embedding.scheduler import Embedding
from precedent_indexer.index.deletion_results import DeletionResults
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.index.generations import GenerationStore
from precedent_indexer.index.log_match import with_watermark
from precedent_indexer.ingest.applier import Applier, Prepared
from precedent_indexer.observability.metrics import discard_metrics
from precedent_indexer.runtime.threads import Workers

_BATCH = 500
_STEP = 0.6
"""Length of the step: as far apart as texts of one kind."""
_REPORT_EVERY = 10_000


class SyntheticEmbedder:
    """Stands in for the model, at next to no cost."""

    def __init__(self, anchors: NDArray[np.float32], model: ModelInfo) -> None:
        self._anchors = anchors
        self.model = model

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One row for each text, in order, of length one; the same for the same text."""
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
        steps = np.stack([np.random.default_rng(seed).standard_normal(self._anchors.shape[1]) for seed in seeds])
        steps *= _STEP / np.linalg.norm(steps, axis=1, keepdims=True)
        vectors = self._anchors[[seed % len(self._anchors) for seed in seeds]] + steps
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


async def fill(texts: list[str]) -> dict[str, float]:
    """Fill; seconds and how many."""
    chosen = settings.load()
    files = chosen.precedent_model_path or DEFAULT_MODEL_DIR
    real, _ = open_sessions(chosen, files)
    synthetic = SyntheticEmbedder(real.embed(texts), real.model)
    directory = IndexDirectory(chosen.precedent_chroma_path)
    bus = await Bus.connect(chosen, "precedent-benchmark")
    source = JetStreamLog(bus)
    log = await source.state()
    index = GenerationStore(directory, ChromaStore.open, real.model, files).open(log)
    workers = Workers()
    applier = Applier(
        store=index.store,
        embedding=Embedding(
            events=synthetic, questions=synthetic, workers=workers, cache_entries=0, metrics=discard_metrics()
        ),
        dead_letters=JetStreamDeadLetters(bus, log.created, None),
        source=source,
        workers=workers,
        max_collections=chosen.precedent_max_collections,
        vectors=index.vectors,
        deleted_text=index.deleted_text,
        deletion_results=DeletionResults(),
        metrics=discard_metrics(),
    )
    began = time.perf_counter()
    filled = await _apply_all(applier, source, log.last_seq)
    seconds = time.perf_counter() - began
    await workers.write(index.store.set_identity, with_watermark(index.identity, log.last_seq))
    workers.close()
    index.close()
    await bus.close()
    directory.close()
    return {"seconds": seconds, "count": filled}


async def _apply_all(applier: Applier, source: JetStreamLog, last_seq: int) -> int:
    """Apply the whole log, preparing one batch while another is committed; how many messages."""
    filled = 0
    batch: list[LogMessage] = []
    committing: asyncio.Task[object] | None = None

    async def hand_on(prepared: Prepared) -> None:
        nonlocal committing
        if committing is not None:
            await committing
        committing = asyncio.create_task(_committed(applier, prepared))

    async for message in source.read(1, last_seq):
        batch.append(message)
        if len(batch) == _BATCH:
            await hand_on(await applier.prepare(batch))
            filled += len(batch)
            batch = []
            if filled % _REPORT_EVERY == 0:
                print(f"filled {filled}", flush=True)
    if batch:
        await hand_on(await applier.prepare(batch))
        filled += len(batch)
    if committing is not None:
        await committing
    return filled


async def _committed(applier: Applier, prepared: Prepared) -> None:
    refused = await applier.commit(prepared)
    if refused:
        raise SystemExit(f"the index refused events of the benchmark: {next(iter(refused.values()))}")


if __name__ == "__main__":
    answer = asyncio.run(fill(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")
