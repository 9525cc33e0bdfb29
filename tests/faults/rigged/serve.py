"""The indexer with parts that fail on order: its component entrance, and wrappers around the real classes.

    serve.py serve

What fails is read, at every call, from the JSON object in the file that FAULTS_FILE names; see `faults.rigging`.
With FAULTS_EMBEDDER=words a bag of words stands in for the model: it loads at once and is quick.
"""

import asyncio
import contextlib
import datetime as dt
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from precedent_indexer import settings
from precedent_indexer.adapters.chroma import server as chroma_server
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.model.embedder import MiniLmEmbedder
from precedent_indexer.app import embedded, models
from precedent_indexer.domain.index_state import Identity, ModelInfo, Writes
from precedent_indexer.embedding.model_files import DIMENSIONS
from precedent_indexer.errors import IndexerError, StoreUnavailable
from precedent_indexer.observability import logs
from precedent_indexer.replicas import replica

_ORDERS = Path(os.environ["FAULTS_FILE"])
_WORDS = os.environ.get("FAULTS_EMBEDDER") == "words"


def _ordered(name: str) -> Any:
    try:
        return json.loads(_ORDERS.read_text(encoding="utf-8")).get(name)
    except FileNotFoundError:
        return None


def _named(name: str, texts: Sequence[str]) -> bool:
    marker = _ordered(name)
    return marker is not None and any(marker in text for text in texts)


def _die_if(*, ordered: bool) -> None:
    if ordered:
        os.kill(os.getpid(), signal.SIGKILL)


def _bag_of_words(text: str) -> NDArray[np.float32]:
    vector = np.zeros(DIMENSIONS, np.float32)
    vector[0] = 0.01  # a text without words has a direction too
    for word in text.lower().split():
        digest = hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "big") % DIMENSIONS] += 1.0 if digest[4] % 2 else -1.0
    unit: NDArray[np.float32] = vector / np.linalg.norm(vector)
    return unit


class Embedder(MiniLmEmbedder):
    """Slow, failing, failing at one text, or the end of the process at one text."""

    @classmethod
    def open(cls, *arguments: Any, **options: Any) -> Self:
        """Load the model, where it is wanted."""
        if not _WORDS:
            return super().open(*arguments, **options)
        stand_in = cls.__new__(cls)
        stand_in._model = ModelInfo("words", "words", DIMENSIONS, "bag of words")
        return stand_in

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed, if nothing else is ordered."""
        time.sleep((_ordered("embed_delay_s") or 0) * len(texts))
        _die_if(ordered=_named("die_at_text", texts))
        if _ordered("embed_fails") or _named("embed_poison", texts):
            raise RuntimeError("the model fails on order")
        return np.stack([_bag_of_words(text) for text in texts]) if _WORDS else super().embed(texts)


class Store(ChromaStore):
    """Slow, failing, failing at one row, or the end of the process once a row is stored."""

    def write(self, collection: str, writes: Writes) -> None:
        """Write, if nothing else is ordered."""
        texts = [row.event.text for row, _ in writes.rows.values()]
        time.sleep(_ordered("store_delay_s") or 0)
        if _ordered("store_fails") or _named("store_poison", texts):
            raise StoreUnavailable("the store fails on order")
        super().write(collection, writes)
        _die_if(ordered=_named("die_once_stored", texts))

    def set_identity(self, identity: Identity) -> None:
        """As any other write."""
        if _ordered("store_fails"):
            raise StoreUnavailable("the store fails on order")
        super().set_identity(identity)


class Shared(chroma_server.ServedStore):
    """Of a Chroma server: held up on order between the look at the lease and the request."""

    _holds_up = False

    def write(self, collection: str, writes: Writes) -> None:
        """Write, if nothing else is ordered."""
        self._holds_up = _named("hold_up_text", [row.event.text for row, _ in writes.rows.values()])
        super().write(collection, writes)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        with super()._sending():
            if self._holds_up:
                _ORDERS.with_suffix(".held-up").touch()
                time.sleep(_ordered("hold_up_s"))
            yield


_real_time, _real_time_ns = time.time, time.time_ns


def _shift_ns() -> int:
    return int((_ordered("clock_s") or 0) * 1e9)


class Clock(dt.datetime):
    """The wall clock, set to another time on order."""

    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> Self:
        """What the clock shows."""
        return cls.fromtimestamp(time.time(), tz)


def _set_the_clock() -> None:
    """Let the project's own modules, and whoever asks `time`, see the shifted clock; the monotonic one goes on."""
    time.time = lambda: _real_time() + _shift_ns() / 1e9
    time.time_ns = lambda: _real_time_ns() + _shift_ns()
    for name, module in list(sys.modules.items()):
        if name.startswith("precedent_indexer") and getattr(module, "datetime", None) is dt.datetime:
            module.datetime = Clock  # type: ignore[attr-defined] # a module's name, replaced


def _rig() -> None:
    """Put the wrappers in the place of the real classes where these are put together."""
    for module, name, rigged in (
        (models, "MiniLmEmbedder", Embedder),
        (embedded, "ChromaStore", Store),
        (chroma_server, "ServedStore", Shared),
    ):
        assert hasattr(module, name), f"{module.__name__} no longer names {name}: find out who does"
        setattr(module, name, rigged)


def main() -> None:
    """What the command `serve` does, with these parts."""
    _set_the_clock()
    chosen = settings.load()
    logs.configure(chosen.precedent_log_level, chosen.precedent_log_format)
    sys.setswitchinterval(0.001)
    _rig()
    try:
        serving = embedded.serve(chosen) if chosen.precedent_chroma_url is None else replica.serve(chosen)
        code = asyncio.run(serving)
    except IndexerError as error:
        sys.stderr.write(f"precedent-indexer: {error}\n")
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
