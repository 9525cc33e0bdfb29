"""The limit of open files: Chroma holds several for each collection, and a container begins with 1,024."""

import resource
from typing import Final

import structlog

from precedent_indexer.errors import StartRefused

log = structlog.get_logger(__name__)

_ALWAYS: Final = 128
"""Open files of a process without a collection: libraries, connections, threads."""
_EACH: Final = 10
"""Open files of one collection: its events and its outcomes, five files each."""
_CONSIDERED: Final = 64
"""Collections up to which too few files refuse the start; a larger maximum is a warning, since few may ever exist."""


def raise_limit(collections: int) -> None:
    """Raise the soft limit of open files to the hard one.

    Args:
        collections: the most that may exist.

    Raises:
        StartRefused: the hard limit is too small; the message names what is had and what is needed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return
    if hard < needed(min(collections, _CONSIDERED)):
        raise StartRefused(
            f"the limit of open files is {hard}, and {collections} collections need {needed(collections)}: raise it "
            "(`ulimit -Hn`, LimitNOFILE of systemd, --ulimit nofile of a container), or lower PRECEDENT_MAX_COLLECTIONS"
        )
    if hard < needed(collections):
        log.warning("few_open_files", limit=hard, needed=needed(collections), collections=collections)


def needed(collections: int) -> int:
    """Open files that an indexer with so many collections needs."""
    return _ALWAYS + _EACH * collections
