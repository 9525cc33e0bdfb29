"""What the log no longer has leaves the index: rows, outcomes, what is shown of them, and vectors."""

from pathlib import Path

import pytest

from fakes.making import decided, row, unit
from fakes.vector_store import FakeVectorStore
from fakes.workers import InlineWorkers
from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.domain.index_state import Writes
from precedent_indexer.domain.ports import VectorStore
from precedent_indexer.index.vector_file import open_vectors
from precedent_indexer.maintenance import retention
from precedent_indexer.maintenance.retention import expire

C = "incidents"


@pytest.mark.parametrize("kind", ["fake", "chroma"])
async def test_what_came_before_the_log_leaves(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts: old events go, with their vectors; a row that stays no longer shows an outcome that went."""
    monkeypatch.setattr(retention, "_TOGETHER", 3)
    store: VectorStore = FakeVectorStore() if kind == "fake" else ChromaStore.open(tmp_path)
    vectors = open_vectors(tmp_path, "fake")
    rows = {f"e{seq}": (row(f"e{seq}", seq), unit(seq)) for seq in range(1, 21)}
    old, late = decided("e19", 8), decided("e1", 18)
    rows["e19"] = (row("e19", 19, record=old), unit(19))
    outcomes = {"e19": old, "e1": late, "nobody": decided("nobody", 9), "e20": decided("e20", 15)}
    store.write(C, Writes(rows=rows, outcomes=outcomes))
    store.write("lonely", Writes(outcomes={"e5": decided("e5", 5)}))
    vectors.keep(C, {f"text of e{seq}": unit(seq) for seq in range(1, 21)})
    assert await expire(InlineWorkers(), store, vectors, 15) == 14
    assert sorted(store.rows(C, list(rows))) == sorted(f"e{seq}" for seq in range(15, 21))
    assert store.rows(C, ["e19"])["e19"].outcome is None
    assert set(store.outcomes(C, list(outcomes))) == {"e1", "e20"}
    assert set(vectors.find(C, [f"text of e{seq}" for seq in range(1, 21)])) == {
        f"text of e{seq}" for seq in range(15, 21)
    }
    assert store.outcomes("lonely", ["e5"]) == {}
    assert not store.exists("lonely")
    assert await expire(InlineWorkers(), store, vectors, 15) == 0
    store.close()
    vectors.close()
