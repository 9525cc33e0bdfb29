"""Backup and restore put together: which store, which probe, which model is installed."""

import asyncio
import contextlib
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from precedent_indexer.adapters.chroma.embedded import ChromaStore
from precedent_indexer.adapters.chroma.probe_process import probe
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.embedding.model_files import DEFAULT_MODEL_DIR, ModelError, ModelFiles
from precedent_indexer.errors import CommandFailed, StartRefused
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.maintenance.backup.manifest import Manifest
from precedent_indexer.maintenance.backup.restore import Restored, restore
from precedent_indexer.maintenance.backup.snapshot import Looks, ReportBytes, back_up
from precedent_indexer.settings import Settings

__all__ = ["Manifest", "Restored", "installed_model", "restore_backup", "take_backup"]


def take_backup(settings: Settings, target: Path, report: ReportBytes) -> Manifest:
    """Back up the index, whether an indexer runs on it or not.

    Raises:
        CommandFailed: it cannot be done; nothing is left behind.
    """
    _check_embedded(settings)
    path = settings.precedent_chroma_path
    with contextlib.ExitStack() as stack:
        # Where no indexer runs, none begins meanwhile; a directory that is not there must not be made for this.
        if path.is_dir():
            with contextlib.suppress(StartRefused):
                stack.callback(IndexDirectory(path).close)
        return back_up(path, target, _LOOKS, report)


def restore_backup(settings: Settings, source: Path, report: ReportBytes) -> Restored:
    """Put a backup in the place of the index, on which no indexer may run.

    Raises:
        CommandFailed: the backup cannot be used, or an indexer runs; the index is as it was.
    """
    _check_embedded(settings)
    try:
        directory = IndexDirectory(settings.precedent_chroma_path)
    except StartRefused as error:
        raise CommandFailed(f"nothing can be restored now: {error}") from error
    with contextlib.closing(directory):
        return restore(source, directory, _LOOKS, report)


def installed_model(settings: Settings) -> str | None:
    """Fingerprint of the model that is installed; None where there is none to be used."""
    try:
        return ModelFiles.read(settings.precedent_model_path or DEFAULT_MODEL_DIR).fingerprint
    except ModelError:
        return None


def _check_embedded(settings: Settings) -> None:
    if settings.precedent_chroma_url is not None:
        raise CommandFailed(
            "PRECEDENT_CHROMA_URL is set: that index lies in a Chroma server, which is backed up by its own means, and "
            "is filled from the log where it is lost; `backup` and `restore` are for an index in a directory"
        )


def _probe(generation: Path) -> str | None:
    descriptor = os.open(generation, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return asyncio.run(probe(generation, descriptor))
    finally:
        os.close(descriptor)


def _describe(generation: Path) -> tuple[Identity | None, dict[str, int]]:
    # In this process Chroma would let go of the files some time after it was told to.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_description, generation).result()


def _description(generation: Path) -> tuple[Identity | None, dict[str, int]]:
    store = ChromaStore.open(generation)
    try:
        return store.identity(), {name: store.count(name) for name in store.collections()}
    finally:
        store.close()


_LOOKS = Looks(_probe, _describe)
