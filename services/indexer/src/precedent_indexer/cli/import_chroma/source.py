"""Reads the data directory of the old service from a copy: Chroma never opens the original.

Only Chroma's SQLite file is copied. It has the ids, texts and metadata; the vectors are not needed, since the indexer
computes its own. So a directory with broken vector files can be imported too.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from precedent_indexer.adapters.chroma.embedded import open_client
from precedent_indexer.cli.import_chroma.convert import OldItem
from precedent_indexer.errors import ImportFailed

log = structlog.get_logger(__name__)

_DATABASE: Final = "chroma.sqlite3"
_SPARE_BYTES: Final = 64 * 1024 * 1024
"""Bytes that must stay free beside the copy: opening it may migrate it to Chroma's current layout."""
_SHOWN: Final = 20


class OldCollection:
    """One collection of the old service; blocking, called in threads."""

    def __init__(self, name: str, collection: Any) -> None:  # noqa: ANN401 -- Chroma's class has one importer
        self.name = name
        self._collection = collection

    def ids(self) -> Sequence[str]:
        """Every id, in the order in which the items were added."""
        with _readable(self.name):
            found: Sequence[str] = self._collection.get(include=[])["ids"]
            return found

    def items(self, ids: Sequence[str]) -> list[OldItem]:
        """These items, in the order of `ids`."""
        with _readable(self.name):
            got = self._collection.get(ids=list(ids), include=["documents", "metadatas"])
        rows = zip(got["ids"], got["documents"], got["metadatas"], strict=True)
        found = {one: OldItem(one, document, dict(metadata or {})) for one, document, metadata in rows}
        return [found[one] for one in ids]


@contextlib.contextmanager
def old_collection(directory: Path, name: str) -> Iterator[OldCollection]:
    """Collection `name` of a copy of `directory`; the copy is gone when the block ends.

    Raises:
        ImportFailed: no such directory or collection (the message names what exists), no room for the copy, the
            original changes meanwhile, or Chroma cannot read it.
    """
    files = _files(directory)
    with tempfile.TemporaryDirectory(prefix="precedent-import-") as work:
        _copy(files, Path(work))
        try:
            client = open_client(Path(work))
            names = sorted(str(one.name) for one in client.list_collections())
            counts = {one: client.get_collection(one, embedding_function=None).count() for one in names}
        except Exception as error:  # Chroma raises many kinds of errors over broken files
            raise ImportFailed(
                f"Chroma cannot open a copy of {directory} ({type(error).__name__}): "
                f"check that {_DATABASE} in it is whole, or take a backup of it"
            ) from error
        try:
            if name not in counts:
                there = ", ".join(f"{one} ({count} items)" for one, count in counts.items()) or "none"
                raise ImportFailed(f"{directory} has no collection {name!r}; give --collection one of: {there}")
            yield OldCollection(name, client.get_collection(name, embedding_function=None))
        finally:
            with contextlib.suppress(Exception):  # the copy is removed in any case
                client.close()  # type: ignore[attr-defined] # the interface lacks what the client has


def _files(directory: Path) -> list[Path]:
    if not directory.is_dir():
        raise ImportFailed(f"no directory {directory}: give the data directory of the old service")
    database = directory / _DATABASE
    if not database.is_file():
        there = sorted(entry.name + "/" * entry.is_dir() for entry in directory.iterdir())
        below = [str(one.parent) for one in sorted(directory.glob(f"*/{_DATABASE}"))]
        hint = f"; did you mean {' or '.join(below[:_SHOWN])}?" if below else ""
        raise ImportFailed(
            f"{directory} is no data directory of Chroma: it has no {_DATABASE}, but "
            f"{', '.join(there[:_SHOWN]) or 'nothing at all'}{hint}"
        )
    # The journal belongs to the database: without it, the last transaction could be torn.
    return [database, *(one for end in ("-journal", "-wal") if (one := Path(f"{database}{end}")).is_file())]


def _copy(files: Sequence[Path], target: Path) -> None:
    before = [_stamp(one) for one in files]
    size = sum(length for length, _ in before)
    free = shutil.disk_usage(target).free
    needed = 2 * size + _SPARE_BYTES
    if free < needed:
        raise ImportFailed(
            f"the copy needs {needed:,} bytes in {target.parent}, and {free:,} are free: "
            "make room, or set TMPDIR to a directory with more"
        )
    log.info("copying_old_data", source=str(files[0].parent), bytes=size, to=str(target))
    try:
        for one in files:
            shutil.copyfile(one, target / one.name)
    except OSError as error:
        raise ImportFailed(f"{files[0].parent} cannot be copied to {target}: {error}") from error
    if [_stamp(one) for one in files if one.exists()] != before:
        raise ImportFailed(f"{files[0]} was written to while it was copied: stop the old service and run this again")


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


@contextlib.contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # as above
        raise ImportFailed(f"Chroma cannot read collection {name} of the copy: {type(error).__name__}") from error
