"""A generation as it lies on disk, by files that say who they are, and what looks at it."""

import contextlib
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.rows import INDEX_FORMAT
from precedent_indexer.errors import IndexBroken
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.maintenance.backup.snapshot import Looks

GRAPH = "6e0c1b0a/data_level0.bin"
IDENTITY = Identity("a1", "2026-01-01T00:00:00Z", "sha256:1", 42, INDEX_FORMAT)


def put(database: Path, values: Iterable[str]) -> None:
    """Add rows to a database with a write-ahead log."""
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE IF NOT EXISTS t (v TEXT)")
        db.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])


def held(database: Path) -> list[str]:
    """The rows of such a database."""
    with contextlib.closing(sqlite3.connect(database)) as db:
        return [value for (value,) in db.execute("SELECT v FROM t ORDER BY v")]


def fill(generation: Path) -> None:
    """Put in everything that a generation may hold."""
    put(generation / "chroma.sqlite3", ["row"])
    put(generation / "vectors.sqlite", ["vector"])
    for name in (GRAPH, "6e0c1b0a/header.bin", "model/model.onnx", "deleted-since"):
        path = generation / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name} of {generation.name}")
    for name in ("in-hand.json", "unfinished.json", "inherited-vectors.sqlite"):
        (generation / name).write_text("of this moment")


def made_index(path: Path) -> Path:
    """An index whose one generation is filled; the generation."""
    with contextlib.closing(IndexDirectory(path)) as directory:
        generation = directory.new()
        fill(generation)
        directory.switch(generation)
    return generation


class Files:
    """Looks at any files, and can be told what is wrong with them."""

    def __init__(self) -> None:
        self.broken: str | None = None
        self.identity: Identity | None = IDENTITY
        self.described: list[Path] = []
        self.probed: list[Path] = []
        self.looks = Looks(self._probe, self._describe)

    def _describe(self, path: Path) -> tuple[Identity | None, dict[str, int]]:
        self.described.append(path)
        if not (path / "chroma.sqlite3").is_file():
            raise IndexBroken(f"no store in {path}")
        return self.identity, {"incidents": 3, "rules": 0}

    def _probe(self, path: Path) -> str | None:
        self.probed.append(path)
        return self.broken


def heard(_phase: str, done: int, total: int) -> None:
    """Takes reports of progress that make sense."""
    assert 0 <= done <= total
