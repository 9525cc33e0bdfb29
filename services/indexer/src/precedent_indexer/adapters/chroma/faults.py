"""Translates Chroma's errors, and counts them: only its failures show that a store is broken."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from chromadb.errors import ChromaError

from precedent_indexer.adapters.chroma.health import Symptoms
from precedent_indexer.adapters.chroma.shortage import named
from precedent_indexer.errors import ResourceShortage, StoreUnavailable

_PANIC: Final = "PanicException"
"""Raised by a panic of Chroma's core; it is no subclass of Exception, and has no module."""
_CARRIERS: Final = ("httpx", "httpcore")
"""HTTP libraries of Chroma's client, which passes their errors on."""
_WRITES: Final = ("write", "remove", "clear", "create")


class StoreCalls:
    """Calls on one store, each with a description such as `write collection incidents`."""

    def __init__(self, exclusive_lock: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext) -> None:
        """`exclusive_lock`: makes the lock that is held while the store's files change."""
        self.symptoms = Symptoms()
        self._exclusive_lock = exclusive_lock
        self._closed = False

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Inside, Chroma is called to do `what`; failure and success are counted under it.

        Raises:
            ResourceShortage: the operating system lacks a resource that the call needs.
            StoreUnavailable: Chroma fails, or the store is closed.
        """
        if self._closed:
            raise StoreUnavailable(f"Chroma cannot {what}: the store is closed")
        wrote = what.startswith(_WRITES)
        try:
            with self._exclusive_lock() if wrote else contextlib.nullcontext():
                yield
        except BaseException as error:
            if not _is_chromas(error):
                raise
            self.symptoms.failed(what, str(error))
            lacking = named(str(error))
            if lacking is not None:
                raise ResourceShortage(f"Chroma cannot {what}: {lacking}") from error
            # Chroma's message may hold values of an event; the message of the operating system does not.
            why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            raise StoreUnavailable(f"Chroma cannot {what}: {type(error).__name__}{why}") from error
        self.symptoms.worked(what, wrote=wrote)

    def end(self) -> None:
        """Refuse every later call."""
        self._closed = True


def _is_chromas(error: BaseException) -> bool:
    kind = type(error)
    return (
        isinstance(error, ChromaError | RuntimeError | OSError | ValueError)
        or kind.__name__ == _PANIC
        or kind.__module__.partition(".")[0] in _CARRIERS
        # An answer of a server, or of a proxy before it, that Chroma's client does not understand.
        or kind is Exception
    )
