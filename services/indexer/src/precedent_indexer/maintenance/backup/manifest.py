"""What a backup says of itself: `manifest.json`, written last, so that a backup without one is none."""

from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from precedent_indexer import __version__
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.errors import CommandFailed
from precedent_indexer.maintenance.backup.files import seal

MANIFEST: Final = "manifest.json"
FILES: Final = "index"
"""Beside the manifest: the files of the generation."""
_FORMAT: Final = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SavedFile(_Part):
    """One file of a backup."""

    bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(_Part):
    """A whole backup.

    Attributes:
        format: how the backup is laid out.
        made_at: UTC.
        made_by: versions of what made it.
        index: what the index says of itself: its name, the log, the model, and up to where it has read the log.
        collections: how many events each has.
        files: by their paths below `index/`.
    """

    format: Literal[1] = _FORMAT
    made_at: datetime
    made_by: dict[str, str]
    index: Identity
    collections: dict[str, int]
    files: dict[str, SavedFile]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files.values())


class _Format(_Part):
    """What every manifest has, of this version or another."""

    format: int
    made_by: dict[str, str] = Field(default_factory=dict)


def versions() -> dict[str, str]:
    """Of what makes an index."""
    return {"precedent-indexer": __version__, "chromadb": version("chromadb")}


def saved_file(path: Path) -> SavedFile:
    """What the manifest says of a file, which is on the disk from now on."""
    return SavedFile(bytes=path.stat().st_size, sha256=seal(path))


def write_manifest(backup: Path, manifest: Manifest) -> None:
    """Put it into the directory of the backup, durably."""
    path = backup / MANIFEST
    path.write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    seal(path)


def read_manifest(backup: Path) -> Manifest:
    """The manifest of the backup in this directory.

    Raises:
        CommandFailed: there is none that this version can read.
    """
    path = backup / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        form = _Format.model_validate_json(text)
        if form.format != _FORMAT:
            raise CommandFailed(
                f"the backup in {backup} has format {form.format}, this version reads {_FORMAT}: "
                f"restore it by the version that made it, precedent-indexer {form.made_by.get('precedent-indexer')}"
            )
        return Manifest.model_validate_json(text)
    except FileNotFoundError as error:
        raise CommandFailed(
            f"{path} is not there: {backup} is no backup, or one that was never finished; name the directory of another"
        ) from error
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        places = sorted({".".join(map(str, one["loc"][:2])) or "it" for one in error.errors()})
        raise CommandFailed(f"{path} is damaged ({', '.join(places[:3])}): take another backup") from error
    except UnicodeDecodeError as error:
        raise CommandFailed(f"{path} is damaged (it is no text): take another backup") from error
