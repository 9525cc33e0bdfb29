"""A cache of computed vectors in a file beside the index: a rebuild with the same model reads them from there.

If anything is wrong with the file, it is dropped and the vectors are computed again. Texts that are deleted from the
index are deleted here too, and overwritten.
"""

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import structlog

from precedent_indexer.domain.index_state import Vector
from precedent_indexer.index.layout import INHERITED_VECTORS, VECTORS

log = structlog.get_logger(__name__)

_TOGETHER: Final = 500
"""Texts of one query."""
_CHECK_BYTES: Final = 8
"""Bytes of the checksum in front of each vector, which detects a damaged page."""
_RANGE_END: Final = b"\xff" * 17
"""Sorts after every key of a collection."""


class VectorFile:
    """Vectors of the texts of one generation, before displacement; safe to use from several threads."""

    def __init__(self, path: Path, fingerprint: str, earlier: "VectorFile | None" = None) -> None:
        """Open or create the file.

        Args:
            path: the file.
            fingerprint: of the model; vectors of another model are never found.
            earlier: the file of another generation, read for texts that are missing here if its model is the same.
                Texts that are forgotten here are forgotten there too. It is not closed with this one: another
                generation may be using it.
        """
        self.path = path
        self.fingerprint = fingerprint
        self._earlier = earlier if earlier is not None and earlier.fingerprint == fingerprint else None
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        try:
            self._db = _opened(path)
        except (sqlite3.Error, OSError):
            self._drop()
            with contextlib.suppress(sqlite3.Error, OSError):
                self._db = _opened(path)

    def find(self, collection: str, texts: Sequence[str]) -> dict[str, Vector]:
        """The known vectors of these texts of a collection, by text."""
        found = self._look_up(collection, texts)
        missing = [text for text in texts if text not in found]
        if self._earlier is not None and missing:
            found |= self._earlier.find(collection, missing)
        return found

    def keep(self, collection: str, vectors: Mapping[str, Vector], superseded: Iterable[str] = ()) -> None:
        """Store the vector of each text, and delete those of `superseded` texts."""
        rows = [(self._key(collection, text), _packed(vector)) for text, vector in vectors.items()]
        gone = [(self._key(collection, text),) for text in superseded]
        with self._using() as db:
            if db is not None:
                db.executemany("DELETE FROM vectors WHERE key = ?", gone)
                db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)

    def forget(self, collection: str, texts: Iterable[str]) -> None:
        """Delete the vectors of these texts from the file."""
        texts = list(texts)
        gone = [(self._key(collection, text),) for text in texts]
        with self._using() as db:
            if db is not None:
                db.executemany("DELETE FROM vectors WHERE key = ?", gone)
        self._clean()
        if self._earlier is not None:
            self._earlier.forget(collection, texts)

    def forget_all(self, collection: str) -> None:
        """Delete the vectors of this collection from the file."""
        prefix = _prefix(collection)
        with self._using() as db:
            if db is not None:
                db.execute("DELETE FROM vectors WHERE key >= ? AND key < ?", (prefix, prefix + _RANGE_END))
        self._clean()
        if self._earlier is not None:
            self._earlier.forget_all(collection)

    def part_with_earlier(self) -> "VectorFile | None":
        """Stop reading the earlier file, and return it: the caller may close or remove it."""
        earlier, self._earlier = self._earlier, None
        return earlier

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _look_up(self, collection: str, texts: Sequence[str]) -> dict[str, Vector]:
        of_key = {self._key(collection, text): text for text in texts}
        keys = list(of_key)
        found: dict[str, Vector] = {}
        with self._using() as db:
            for start in range(0, len(keys) if db is not None else 0, _TOGETHER):
                some = keys[start : start + _TOGETHER]
                # Only question marks are inserted into the statement.
                statement = f"SELECT key, vector FROM vectors WHERE key IN ({','.join('?' * len(some))})"  # noqa: S608
                for key, packed in db.execute(statement, some) if db is not None else ():
                    found[of_key[key]] = _unpacked(packed)
        return found

    @contextlib.contextmanager
    def _using(self) -> Iterator[sqlite3.Connection | None]:
        """The database in one transaction; None if the file was dropped."""
        with self._lock:
            try:
                if self._db is None:
                    yield None
                else:
                    with self._db:
                        yield self._db
            except sqlite3.Error as error:
                name = getattr(error, "sqlite_errorname", type(error).__name__)
                log.warning("vector_file_dropped", file=str(self.path), error=name)
                self._drop()

    def _clean(self) -> None:
        """Empty the write-ahead log, which may hold deleted rows."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            if self._db is not None:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _drop(self) -> None:
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None
        _unlink(self.path)

    def _key(self, collection: str, text: str) -> bytes:
        # A text may hold a lone surrogate, which UTF-8 does not encode by default.
        body = text.encode("utf-8", "surrogatepass")
        return _prefix(collection) + hashlib.blake2b(body, digest_size=16, key=self.fingerprint.encode()[:64]).digest()


def open_vectors(generation: Path, fingerprint: str, earlier: VectorFile | None = None) -> VectorFile:
    """Open the vector file of a generation, with `earlier` or the inherited file as its earlier file."""
    inherited = generation / INHERITED_VECTORS
    if earlier is None and inherited.exists():
        earlier = VectorFile(inherited, fingerprint)
    return VectorFile(generation / VECTORS, fingerprint, earlier)


def inherit(generation: Path, from_generation: Path) -> None:
    """Move the vectors of a discarded generation to the new one that replaces it.

    They are kept until the new generation has read the log, since only then is it known which are not needed.
    """
    files = [from_generation / name for name in (VECTORS, INHERITED_VECTORS) if (from_generation / name).is_file()]
    if files:
        # A generation that was discarded before it had read the log has two files; the larger saves most of the work.
        most = max(files, key=lambda file: file.stat().st_size)
        for suffix in ("-wal", ""):
            with contextlib.suppress(OSError):
                most.with_name(most.name + suffix).replace(generation / (INHERITED_VECTORS + suffix))


def drop_inherited(vectors: VectorFile) -> None:
    """Remove the inherited file, if there is one: the log was read, so the rest of it is not needed."""
    earlier = vectors.part_with_earlier()
    if earlier is not None:
        earlier.close()
        _unlink(earlier.path)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False, isolation_level="IMMEDIATE")
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # Commits are not synced: vectors that a power cut loses are computed again.
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")
        db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)")
    except BaseException:
        db.close()
        raise
    return db


def _unlink(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _prefix(collection: str) -> bytes:
    return hashlib.blake2b(collection.encode(), digest_size=8).digest()


def _packed(vector: Vector) -> bytes:
    body = vector.astype("<f4").tobytes()
    return hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest() + body


def _unpacked(packed: bytes) -> Vector:
    """Checks the checksum; raises sqlite3.DatabaseError if it is wrong."""
    body = packed[_CHECK_BYTES:]
    if hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest() != packed[:_CHECK_BYTES]:
        raise sqlite3.DatabaseError("a vector is not what was kept")
    return np.frombuffer(body, "<f4").astype(np.float32)
