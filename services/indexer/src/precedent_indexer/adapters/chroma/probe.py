"""Probes a generation: reads, counts and searches samples of every collection, as questions do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from precedent_indexer.adapters.chroma.embedded import open_client
from precedent_indexer.adapters.chroma.server import ChromaServer
from precedent_indexer.adapters.chroma.shortage import shortage
from precedent_indexer.errors import IndexBroken, ResourceShortage

_PLACES: Final = 20
"""Evenly spaced samples of a collection."""
_ROWS: Final = 50
"""Rows of one sample."""
_NEAR: Final = 10


def probe_files(generation: Path, expect: Callable[[int], None]) -> None:
    """Read, count and search the Chroma files in `generation`; `expect` is called with the number of rows first.

    It may crash the process or never return, since Chroma's core may read invalid memory in a broken segment.

    Raises:
        IndexBroken: something fails or is inconsistent; the message has no content of an event.
        ResourceShortage: something fails for want of what the system does not give.
    """
    try:
        collections = open_client(generation).list_collections()
        expect(sum(one.count() for one in collections))
        for one in collections:
            _probe_collection(one)
    except IndexBroken:
        raise
    except BaseException as error:  # Chroma raises many kinds of errors over broken files, even a panic of its core
        lacking = shortage(error, generation)
        if lacking is not None:
            raise ResourceShortage(lacking) from error
        raise IndexBroken(f"it cannot be read: {type(error).__name__}") from error


def probe_server(server: ChromaServer, generation: str) -> str | None:
    """What is wrong with a generation in a server; None if nothing is. Blocks.

    Raises:
        StoreUnavailable: the server does not answer, so the generation was not probed.
    """
    if generation not in server.generations():
        return "the server does not have it any more"
    try:
        for collection in server.tables(generation):
            _probe_collection(collection)
    except IndexBroken as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 -- any error of its client over a broken segment
        server.generations()
        return f"it cannot be read: {type(error).__name__}"
    return None


def _probe_collection(collection: Any) -> None:  # noqa: ANN401 -- Chroma's answers are loosely typed dictionaries
    count = collection.count()
    lost = looked_at = 0
    for start in range(0, count, max(_ROWS, count // _PLACES)):
        got = collection.get(limit=_ROWS, offset=start, include=["embeddings", "metadatas", "documents"])
        ids, vectors = got["ids"], got["embeddings"]
        if len(ids) != min(_ROWS, count - start) or len(vectors) != len(ids):
            raise IndexBroken(
                f"{collection.name} counts {count} rows, but {len(ids)} and {len(vectors)} are at {start}"
            )
        near = collection.query(query_embeddings=vectors, n_results=min(_NEAR, count), include=["distances"])["ids"]
        # Collections of width one hold rows that are only looked up by id: all have the same vector.
        lost += sum(one not in found for one, found in zip(ids, near, strict=True)) if vectors.shape[1] > 1 else 0
        looked_at += len(ids)
    if 2 * lost > looked_at:
        raise IndexBroken(f"{lost} of {looked_at} rows of {collection.name} are not found by their own vectors")
