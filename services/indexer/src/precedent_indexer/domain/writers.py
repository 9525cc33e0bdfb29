"""Fencing: the writers of a shared index in their order, the claim of the lease, and the repair after a late write.

Each writer has a token, higher than those before it. A process that is suspended within a request finishes the
request when it resumes, and by then another replica may be the writer. Such a late write can only damage rows derived
from messages after the watermark at which the next writer started. So the current writer goes back to that watermark
and applies the log from there again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from precedent_indexer.domain.index_state import Identity


class Fence(Protocol):
    """Keeps a replica from writing without the lease; called by the thread that writes."""

    @property
    def token(self) -> int:
        """Token of this writer."""

    @property
    def holds(self) -> bool:
        """Whether this replica certainly has the lease."""

    def check(self) -> None:
        """Raises StoreUnavailable if this replica may have lost the lease."""


@dataclass(frozen=True, slots=True)
class WriterTerm:
    """The term of one writer.

    Attributes:
        token: fencing token; a later writer has a higher one.
        since: watermark at which the writer started.
        ended: the writer has stopped with no request in progress.
        late: the writer may have finished a request after it lost the lease.
    """

    token: int
    since: int
    ended: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class WriterHistory:
    """State of a shared index at one moment.

    Attributes:
        current: name of the generation in use; None if there is no index yet.
        identities: identity of every generation that has one, by the name of the generation.
        terms: terms of the writers so far, in their order.
    """

    current: str | None
    identities: Mapping[str, Identity]
    terms: Sequence[WriterTerm]

    @property
    def token(self) -> int:
        """The highest token so far."""
        return self.terms[-1].token if self.terms else 0

    @property
    def identity(self) -> Identity | None:
        """Identity of the generation in use."""
        return self.identities.get(self.current) if self.current is not None else None

    def was_left(self) -> bool:
        """Whether every writer has stopped with no request in progress."""
        return all(one.ended for one in self.terms)

    def late_before(self, token: int) -> list[WriterTerm]:
        """Terms before that of the writer with this token whose writers were late."""
        return [one for one in self.terms if one.late and one.token < token]

    def successor_began(self, token: int) -> int:
        """Watermark at which the next writer after this token started; 0 if it is not recorded any more."""
        return next((one.since for one in self.terms if one.token > token), 0)


@dataclass(frozen=True, slots=True)
class Claim:
    """Content of the lease's entry.

    Attributes:
        token: token of the holder, or of the last holder.
        holder: name of the process that has the lease; empty if the lease was released.
        ttl_s: seconds until the lease expires without a renewal.
        index: UUID of the index that is written; None if there is none yet.
    """

    token: int
    holder: str
    ttl_s: float
    index: str | None = None


class Entry(Protocol):
    """The entry that holds the claim, changed by compare-and-set."""

    async def read(self) -> tuple[Claim | None, int]:
        """The claim (None if there is none) and its revision.

        Raises:
            BusUnavailable: the entry cannot be read.
        """

    async def put(self, claim: Claim, revision: int) -> int:
        """Replace the claim of this revision; the new revision.

        Raises:
            Outrun: the entry has a later revision.
            BusUnavailable: no answer; the claim may have been written nevertheless.
        """
