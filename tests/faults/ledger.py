"""What was acknowledged: the only truth that a fault test holds Precedent to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

Key = tuple[str, str]
"""A collection and an event id in it."""

BLAMED: Final = "unprocessable"
"""Why a message is refused that was in hand alone at two ends of the process, whoever was to blame."""


@dataclass(frozen=True, slots=True)
class Version:
    """One acknowledged publication of an event."""

    text: str
    seq: int
    severity: int = 1


@dataclass(frozen=True, slots=True)
class Decision:
    """One acknowledged outcome."""

    verdict: str
    seq: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that must become a dead letter, of a collection (`_`: of none)."""

    collection: str
    reason: str


@dataclass
class Ledger:
    """Every acknowledged publication, decision and deletion, and what must have become of it.

    Whoever writes into it does one thing at a time with one id, so that the order of acknowledgements is the order
    of the log.

    Attributes:
        events: the latest version of every event that must be there.
        decisions: the latest decision about an id, also where no such event is there.
        deleted: the last text of every event that must not be there.
        refused: what must be a dead letter, by its sequence in the log.
        unsure: what the publisher was told nothing certain about: it may be there, and only once.
        published: how many publications, decisions and deletions a `Publisher` began, acknowledged or not yet.
        acknowledged: how many of them all this is.
        last_seq: the last sequence that was acknowledged.
    """

    events: dict[Key, Version] = field(default_factory=dict)
    decisions: dict[Key, Decision] = field(default_factory=dict)
    deleted: dict[Key, str] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    unsure: dict[Key, str] = field(default_factory=dict)
    published: int = 0
    acknowledged: int = 0
    last_seq: int = 0
    _journal: list[tuple[Key, Version | Decision | None]] = field(default_factory=list)
    """Every acknowledgement but those of `refused`, in their order; None is a deletion."""

    def publish(self, key: Key, version: Version) -> None:
        """An event was acknowledged: the first of its id, or a revision."""
        self._enter(key, version)
        self.deleted.pop(key, None)
        self.unsure.pop(key, None)
        self.events[key] = version

    def decide(self, key: Key, decision: Decision) -> None:
        """An outcome was acknowledged."""
        self._enter(key, decision)
        self.decisions[key] = decision

    def delete(self, key: Key) -> None:
        """A deletion was answered."""
        self._enter(key, None)
        self.decisions.pop(key, None)
        if key in self.events:
            self.deleted[key] = self.events.pop(key).text

    def refuse(self, seq: int, refusal: Refusal) -> None:
        """Something was acknowledged that cannot be indexed."""
        self._count(seq)
        self.refused[seq] = refusal

    def without(self, blamed: Collection[int]) -> Ledger:
        """The same, where these sequences were refused instead of indexed."""
        other = Ledger(refused=dict(self.refused), unsure=dict(self.unsure))
        for key, entry in self._journal:
            if entry is None:
                other.delete(key)
            elif entry.seq in blamed:
                other.refuse(entry.seq, Refusal(key[0], BLAMED))
            elif isinstance(entry, Version):
                other.publish(key, entry)
            else:
                other.decide(key, entry)
        return other

    def collections(self) -> list[str]:
        """Every collection that an event was ever acknowledged for, sorted."""
        return sorted({collection for collection, _ in (*self.events, *self.deleted, *self.unsure)})

    def standing(self, collection: str) -> dict[str, Version]:
        """What must be in a collection, by id."""
        return {event_id: version for (name, event_id), version in self.events.items() if name == collection}

    def _enter(self, key: Key, entry: Version | Decision | None) -> None:
        self._count(entry.seq if entry else 0)
        self._journal.append((key, entry))

    def _count(self, seq: int) -> None:
        self.acknowledged += 1
        self.last_seq = max(self.last_seq, seq)
