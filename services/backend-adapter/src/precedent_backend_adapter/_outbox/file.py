"""The file of an outbox: what is in it, whose it is, and how it is opened."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter.config import OutboxConfig
from precedent_backend_adapter.errors import OutboxUnavailable

_APPLICATION: Final = 0x50524F42
"""Written into the file, so that no other program's database is taken for an outbox: "PROB"."""
_VERSION: Final = 1
# The write-ahead log is flushed at each commit: that is what makes `add` durable. What is delivered is overwritten
# with zeros, since events hold personal data. `fullfsync` is what macOS needs for a flush that reaches the disk.
_PRAGMAS: Final = ("synchronous = FULL", "fullfsync = ON", "secure_delete = ON")
_SCHEMA: Final = f"""
BEGIN IMMEDIATE;
CREATE TABLE message (
  position INTEGER PRIMARY KEY AUTOINCREMENT,
  message_id TEXT NOT NULL UNIQUE,
  about TEXT NOT NULL,
  subject TEXT NOT NULL,
  payload BLOB NOT NULL,
  headers TEXT NOT NULL,
  collection TEXT NOT NULL,
  event_id TEXT NOT NULL,
  size INTEGER NOT NULL,
  queued_at REAL NOT NULL,
  refusal TEXT,
  superseded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX waiting ON message (position) WHERE refusal IS NULL;
CREATE INDEX set_aside ON message (about) WHERE refusal IS NOT NULL;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {_VERSION};
COMMIT;
"""
COUNTED: Final = """
SELECT count(*) FILTER (WHERE refusal IS NULL), count(*) FILTER (WHERE refusal IS NOT NULL), coalesce(sum(size), 0),
  min(queued_at) FILTER (WHERE refusal IS NULL) FROM message
"""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One message that the log refused.

    Attributes:
        superseded: a later revision of it was delivered meanwhile: it is never sent again.
    """

    position: int
    collection: str
    id: str
    queued_at: datetime
    refusal: str
    superseded: bool


def look(path: Path) -> tuple[OutboxStatus, list[SetAside]]:
    """What is in a file, also while a process uses it, and what was set aside there.

    Raises:
        OutboxUnavailable: there is none, or it cannot be read.
    """
    path = path.absolute()
    columns = "position, collection, event_id, queued_at, refusal, superseded"
    query = f"SELECT {columns} FROM message WHERE refusal IS NOT NULL ORDER BY position"  # noqa: S608 -- constants
    try:
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
            _check_kind(db, path)
            aside = [
                SetAside(position, collection, event_id, datetime.fromtimestamp(at, UTC), refusal, bool(superseded))
                for position, collection, event_id, at, refusal, superseded in db.execute(query)
            ]
            return status(db, path, OutboxConfig(path=path)), aside
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from error


def status(db: sqlite3.Connection, path: Path, config: OutboxConfig) -> OutboxStatus:
    """What is in the file.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    waiting, set_aside, total, oldest = db.execute(COUNTED).fetchone()
    since = None if oldest is None else datetime.fromtimestamp(oldest, UTC)
    return OutboxStatus(str(path), waiting, set_aside, total, config.max_events, config.max_bytes, since)


def locked(path: Path) -> sqlite3.Connection:
    """What keeps everybody else from using the outbox until it is closed.

    Raises:
        OutboxUnavailable: another client uses it, or the file cannot be used.
    """
    # SQLite's own lock, on a file beside it: it goes with the process, however that ends, it also keeps two clients of
    # one process apart, and a process that only looks at the outbox does not need it.
    lock: sqlite3.Connection | None = None
    try:
        _private(path)
        lock = sqlite3.connect(f"{path}.lock", isolation_level=None, timeout=0)
        # There is nothing to roll back, so no journal has to be left behind by a process that is killed.
        lock.execute("PRAGMA journal_mode = MEMORY")
        lock.execute("BEGIN EXCLUSIVE")
    except (sqlite3.Error, OSError) as error:
        if lock is not None:
            lock.close()
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY:
            remedy = "give each process and each client an outbox of its own, or end the other one first"
            raise OutboxUnavailable(f"the outbox {path} is in use by another client: {remedy}") from error
        raise unusable(path, error) from error
    return lock


def _private(path: Path) -> None:
    # Events hold personal data; SQLite gives the files that it makes beside this one the same permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def opened(path: Path) -> sqlite3.Connection:
    """The database, made where there is none, ready for durable writes.

    Raises:
        OutboxUnavailable: the file is no outbox, or cannot be one.
        sqlite3.Error: it cannot be used.
    """
    db = sqlite3.connect(path, isolation_level=None)
    try:
        if path.stat().st_size:
            _check_kind(db, path)
        mode = db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise OutboxUnavailable(f"the outbox {path} cannot have a write-ahead log: name a file on a local disk")
        for pragma in _PRAGMAS:
            db.execute(f"PRAGMA {pragma}")
        if db.execute("PRAGMA user_version").fetchone()[0] == 0:
            db.executescript(_SCHEMA)
    except BaseException:
        db.close()
        raise
    return db


def _check_kind(db: sqlite3.Connection, path: Path) -> None:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if (application, version) == (_APPLICATION, _VERSION):
        return
    # A process that ended between the first page and the schema leaves a database with nothing in it.
    if (application, version) == (0, 0) and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        return
    raise OutboxUnavailable(f"{path} is no outbox of this version: name another file")


def unusable(path: Path, error: Exception) -> OutboxUnavailable:
    """What a caller sees of `error`."""
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    remedy = "name a file in a directory that exists and may be written, on a local disk"
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        remedy = "it is damaged or no outbox: put it aside, and keep it for what can be read of it"
    return OutboxUnavailable(f"the outbox {path} cannot be used: {why}; {remedy}")
