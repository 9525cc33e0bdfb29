"""What Chroma raises, translated at one door, and noted: only by its failures does a store show that it is broken."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from chromadb.errors import ChromaError

from precedent_indexer.adapters.chroma.health import Symptoms
from precedent_indexer.adapters.chroma.shortage import named
from precedent_indexer.errors import ResourceShortage, StoreUnavailable

_PANIC: Final = "PanicException"
"""Chroma's core ends a call so where it meets what it holds for impossible; it is no Exception, and has no module."""
_CARRIERS: Final = ("httpx", "httpcore")
"""What carries requests to a Chroma server: its errors come through as they are."""
_WRITES: Final = ("write", "remove", "clear", "create")


class StoreCalls:
    """What is done with one store; each by its own words, such as `write collection incidents`."""

    def __init__(self, exclusive_lock: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext) -> None:
        """`exclusive_lock`: inside of what it makes, nobody else relies on the store's files as they are."""
        self.symptoms = Symptoms()
        self._exclusive_lock = exclusive_lock
        self._closed = False

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Inside, Chroma is asked to do `what`.

        Raises:
            ResourceShortage: it cannot, since the system does not give what that needs.
            StoreUnavailable: it cannot, or the store is closed.
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
            # Chroma's own words may hold values of an event; the system's do not.
            why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            raise StoreUnavailable(f"Chroma cannot {what}: {type(error).__name__}{why}") from error
        self.symptoms.worked(what, wrote=wrote)

    def end(self) -> None:
        """Nothing can be done from now on."""
        self._closed = True


def _is_chromas(error: BaseException) -> bool:
    kind = type(error)
    return (
        isinstance(error, ChromaError | RuntimeError | OSError | ValueError)
        or kind.__name__ == _PANIC
        or kind.__module__.partition(".")[0] in _CARRIERS
        # An answer of a server, or of what stands before it, that its client does not understand.
        or kind is Exception
    )
