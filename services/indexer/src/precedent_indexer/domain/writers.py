"""Who wrote the index, one after the other, and what one who was late may have spoilt.

A writer's token is higher than that of everyone before it. One that is stopped in the middle of a request finishes it
whenever it goes on, and by then another may write. What such a late request can spoil is what came of messages behind
the watermark that its successor began with: the late one knew of nothing behind it. So whoever writes then goes back
to that watermark, and applies the log from there anew.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from precedent_indexer.domain.index_state import Identity


class Fence(Protocol):
    """What keeps a writer from writing when it is no longer the one; asked by the thread that writes."""

    @property
    def token(self) -> int:
        """Of this writer."""

    @property
    def holds(self) -> bool:
        """Whether it is certain that nobody else writes."""

    def check(self) -> None:
        """Raises StoreUnavailable where it is not certain."""


@dataclass(frozen=True, slots=True)
class WriterTerm:
    """One writer's time.

    Attributes:
        token: its rank: whoever comes later has a higher one.
        since: the watermark that it began with.
        ended: it has left in good order, with nothing under way.
        late: it may have finished a request after its time.
    """

    token: int
    since: int
    ended: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class WriterHistory:
    """What the index says of itself at one moment.

    Attributes:
        current: name of the generation in use; None where there is no index yet.
        identities: of every generation that has one, by its name.
        terms: of every writer so far, in their order.
    """

    current: str | None
    identities: Mapping[str, Identity]
    terms: Sequence[WriterTerm]

    @property
    def token(self) -> int:
        """The highest that was ever used."""
        return self.terms[-1].token if self.terms else 0

    @property
    def identity(self) -> Identity | None:
        """Of the generation in use."""
        return self.identities.get(self.current) if self.current is not None else None

    def was_left(self) -> bool:
        """Whether the last writer has left in good order, so that none of its requests can be under way."""
        return all(one.ended for one in self.terms)

    def late_before(self, token: int) -> list[WriterTerm]:
        """Who was late, of those before the writer with this token."""
        return [one for one in self.terms if one.late and one.token < token]

    def successor_began(self, token: int) -> int:
        """The watermark that the next writer behind this token began with; 0 where nobody knows any more."""
        return next((one.since for one in self.terms if one.token > token), 0)


@dataclass(frozen=True, slots=True)
class Claim:
    """What the entry says.

    Attributes:
        token: of the holder, or of the last one.
        holder: name of the process that has the lease; empty where it was given back.
        ttl_s: its life in seconds, as the holder counts it.
        index: uuid of the index that is written; None where none was made yet.
    """

    token: int
    holder: str
    ttl_s: float
    index: str | None = None


class Entry(Protocol):
    """Where the claim is kept."""

    async def read(self) -> tuple[Claim | None, int]:
        """The claim, and its revision; None where there is none.

        Raises:
            BusUnavailable: it cannot be read.
        """

    async def put(self, claim: Claim, revision: int) -> int:
        """Replace the claim of this revision; the new revision.

        Raises:
            Outrun: another is there by now.
            BusUnavailable: no answer; it may be there nevertheless.
        """
