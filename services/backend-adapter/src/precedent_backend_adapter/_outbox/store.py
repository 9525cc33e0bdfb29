"""The messages of an outbox, on disk. All of it belongs to one thread.

What `add` has returned for is on disk, also through a loss of power, and stays there until it is settled.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from precedent_backend_adapter._outbox import file
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter.config import OutboxConfig
from precedent_backend_adapter.receipts import Publication
from precedent_schemas.subjects import MSG_ID_HEADER, OUTCOMES_PREFIX


class StoreError(Exception):
    """The file could not be read or written; the message names it.

    Attributes:
        full: for want of space.
        certain: nothing of it was written.
    """

    def __init__(self, message: str, *, full: bool = False, certain: bool = True) -> None:
        self.full = full
        self.certain = certain
        super().__init__(message)


class Full(Exception):
    """One message more would be beyond a bound; the message names it."""


@dataclass(frozen=True, slots=True)
class Held:
    """One message in the file."""

    position: int
    publication: Publication


class Store:
    """An outbox that this process alone may use, until it is closed.

    Raises:
        OutboxUnavailable: another process, or another client, uses it; or the file cannot be used.
    """

    def __init__(self, config: OutboxConfig) -> None:
        self._config = config
        self._path = Path(config.path).absolute()
        self._lock = file.locked(self._path)
        try:
            self._db = file.opened(self._path)
            waiting, set_aside, self._size, _ = self._db.execute(file.COUNTED).fetchone()
        except (sqlite3.Error, OSError) as error:
            self._lock.close()
            raise file.unusable(self._path, error) from error
        except BaseException:
            self._lock.close()
            raise
        self._events = waiting + set_aside
        self._set_aside = set_aside

    def close(self) -> None:
        """Let go of the file; what is in it stays.

        Raises:
            StoreError: it could not be tidied up, which the next one does.
        """
        try:
            with self._translated("closed"):
                self._db.close()
        finally:
            self._lock.close()

    def add(self, publications: Sequence[Publication]) -> list[int | Full]:
        """Write them in this order, durably; gives the position of each, or says that the bound is reached.

        One that is there already, known by its message id, keeps its place; where it was set aside, it waits again.

        Raises:
            StoreError: none was written, as far as it says so.
        """
        before = self._events, self._size, self._set_aside
        try:
            with self._transaction("written"):
                return [self._place(publication) for publication in publications]
        except StoreError:
            self._events, self._size, self._set_aside = before
            raise

    def next(self, most: int, most_bytes: int) -> list[Held]:
        """What is to be delivered next, in order, never two messages about the same event.

        Raises:
            StoreError: it cannot be read.
        """
        found: list[Held] = []
        seen: set[str] = set()
        room = most_bytes
        query = (
            "SELECT position, subject, payload, headers, collection, event_id, about, size FROM message"
            " WHERE refusal IS NULL ORDER BY position LIMIT ?"
        )
        with self._translated("read"), closing(self._db.execute(query, (most,))) as rows:
            for position, subject, payload, headers, collection, event_id, about, weight in rows:
                room -= weight
                # Revisions that fly together could change places when one of them has to be sent again.
                if found and (room < 0 or about in seen):
                    break
                seen.add(about)
                found.append(Held(position, Publication(subject, payload, json.loads(headers), collection, event_id)))
        return found

    def settle(self, delivered: Iterable[int], refused: Mapping[int, str]) -> None:
        """Forget what was delivered, and set aside what was refused.

        Raises:
            StoreError: all of them are as they were.
        """
        before = self._events, self._size, self._set_aside
        try:
            with self._transaction("updated"):
                for position in delivered:
                    self._remove(position)
                for position, refusal in refused.items():
                    self._db.execute("UPDATE message SET refusal = ? WHERE position = ?", (refusal, position))
                    self._set_aside += 1
        except StoreError:
            self._events, self._size, self._set_aside = before
            raise

    def reconsider(self) -> int:
        """Have what was set aside wait again, each at its old place; gives how many do.

        One whose later revision was delivered meanwhile would undo that: it stays where it is.

        Raises:
            StoreError: all of them are as they were.
        """
        query = "UPDATE message SET refusal = NULL WHERE refusal IS NOT NULL AND NOT superseded"
        with self._transaction("updated"):
            changed = self._db.execute(query).rowcount
        self._set_aside -= changed
        return changed

    def drop_set_aside(self) -> int:
        """Forget what was set aside for good; gives how many these were.

        Raises:
            StoreError: all of them are as they were.
        """
        with self._transaction("updated"):
            dropped = self._db.execute("DELETE FROM message WHERE refusal IS NOT NULL").rowcount
        self._events -= dropped
        self._set_aside = 0
        return dropped

    def scrub(self) -> None:
        """Overwrite what was delivered also where it was written first, in the write-ahead log beside the file.

        Raises:
            StoreError: it could not be; it can be tried again.
        """
        with self._translated("scrubbed"):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def status(self) -> OutboxStatus:
        """What is in it.

        Raises:
            StoreError: it cannot be read.
        """
        with self._translated("read"):
            return file.status(self._db, self._path, self._config)

    # -- inside a transaction

    def _place(self, publication: Publication) -> int | Full:
        message_id = publication.headers[MSG_ID_HEADER]
        known = self._db.execute("SELECT position, refusal FROM message WHERE message_id = ?", (message_id,)).fetchone()
        if known is not None:
            position, refusal = known
            if refusal is not None:
                self._db.execute("UPDATE message SET refusal = NULL WHERE position = ?", (position,))
                self._set_aside -= 1
            return int(position)
        weight = size(publication.payload, publication.headers)
        if self._events + 1 > self._config.max_events:
            return Full(f"it holds {self._events} messages of {self._config.max_events}")
        if self._size + weight > self._config.max_bytes:
            return Full(f"it holds {self._size} bytes of {self._config.max_bytes}, and this message has {weight}")
        cursor = self._db.execute(
            "INSERT INTO message (message_id, about, subject, payload, headers, collection, event_id, size, queued_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                message_id,
                _about(publication),
                publication.subject,
                publication.payload,
                json.dumps(dict(publication.headers)),
                publication.collection,
                publication.id,
                weight,
                time.time(),
            ),
        )
        self._events += 1
        self._size += weight
        return int(cursor.lastrowid or 0)

    def _remove(self, position: int) -> None:
        row = self._db.execute("SELECT about, size FROM message WHERE position = ?", (position,)).fetchone()
        if row is None:
            return
        about, weight = row
        if self._set_aside:
            older = "UPDATE message SET superseded = 1 WHERE refusal IS NOT NULL AND about = ? AND position < ?"
            self._db.execute(older, (about, position))
        self._db.execute("DELETE FROM message WHERE position = ?", (position,))
        self._events -= 1
        self._size -= weight

    @contextmanager
    def _transaction(self, done: str) -> Iterator[None]:
        with self._translated(done):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # After some failures the library has rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translated(self, done: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            raise StoreError(
                f"the outbox {self._path} could not be {done}: {error}",
                full=code == sqlite3.SQLITE_FULL,
                # What was written and not flushed may be there after a restart.
                certain=code not in (sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC),
            ) from error


def _about(publication: Publication) -> str:
    what = "outcome" if publication.subject.startswith(f"{OUTCOMES_PREFIX}.") else "event"
    return f"{what}:{publication.collection}:{publication.id}"
