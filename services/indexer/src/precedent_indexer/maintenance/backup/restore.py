"""A backup put in the place of the index: checked first, then taken into use in one step.

What it lacks, the next start reads from the log, deletions among it; where it belongs to another log, or is ahead of
this one, the next start rebuilds it, as any index.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from precedent_indexer.domain.rows import READABLE_FORMATS
from precedent_indexer.errors import CommandFailed
from precedent_indexer.index.directory import IndexDirectory
from precedent_indexer.maintenance.backup.files import copy_file, files_in, sync_directories
from precedent_indexer.maintenance.backup.manifest import FILES, Manifest, read_manifest, saved_file, versions
from precedent_indexer.maintenance.backup.snapshot import Looks, ReportBytes

_NOTHING_CHANGED: Final = "nothing was changed"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place, and what it replaced (names of generations)."""

    manifest: Manifest
    generation: Path
    removed: list[str]


def restore(source: Path, directory: IndexDirectory, looks: Looks, report: ReportBytes) -> Restored:
    """Put the backup in `source` in the place of the index, which is removed once the backup is in use.

    Raises:
        CommandFailed: the backup is not whole, or not for this version; the index is as it was.
    """
    manifest = read_manifest(source)
    _check(source, manifest)
    try:
        generation = directory.new()
        try:
            _copy(source / FILES, generation, manifest, report)
            broken = looks.probe(generation)
            if broken is not None:
                raise CommandFailed(
                    f"the index of the backup in {source} cannot be used: {broken}; it was made by "
                    f"{_named(manifest.made_by)}, this is {_named(versions())}; {_NOTHING_CHANGED}: "
                    "restore another, or start `precedent-indexer serve`, which reads the log where it has no index"
                )
            sync_directories(generation)
            directory.switch(generation)
        except BaseException:
            directory.drop(generation)
            raise
    except OSError as error:
        raise CommandFailed(
            f"the backup in {source} could not be put in place: {error.strerror or error}; {_NOTHING_CHANGED}"
        ) from error
    return Restored(manifest, generation, directory.drop_others(generation))


def _check(source: Path, manifest: Manifest) -> None:
    if manifest.index.index_format not in READABLE_FORMATS:
        raise CommandFailed(
            f"the index of the backup in {source} has format {manifest.index.index_format}, this version reads "
            f"{sorted(READABLE_FORMATS)}: it is of no use here. Start `precedent-indexer serve` without it: an index "
            "that is not there is filled from the log"
        )
    found = set(files_in(source / FILES))
    missing = sorted(set(manifest.files) - found)
    if missing:
        raise CommandFailed(f"the backup in {source} lacks {missing[0]}: it is not whole; {_NOTHING_CHANGED}")
    unknown = sorted(found - set(manifest.files))
    if unknown:
        raise CommandFailed(
            f"the backup in {source} has {unknown[0]}, which its manifest does not know: it was changed; "
            f"{_NOTHING_CHANGED}"
        )


def _copy(source: Path, generation: Path, manifest: Manifest, report: ReportBytes) -> None:
    done = 0

    def told(count: int) -> None:
        nonlocal done
        done += count
        report("copying", done, manifest.bytes)

    for name, expected in manifest.files.items():
        copy_file(source / name, generation / name, told)
        if saved_file(generation / name) != expected:
            raise CommandFailed(
                f"{source / name} is not what was backed up (SHA-256 or length differ): the backup is damaged; "
                f"{_NOTHING_CHANGED}: restore another"
            )


def _named(made_by: dict[str, str]) -> str:
    return " with ".join(f"{name} {number}" for name, number in made_by.items())
