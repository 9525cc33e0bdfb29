"""The log in memory: written by tests as publishers would, with gaps where something was erased."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fakes.chaos import CALM, Chaos
from fakes.making import message
from precedent_indexer.domain.messages import LogMessage, LogState
from precedent_indexer.errors import BusUnavailable
from precedent_schemas.codec import encode_log_message
from precedent_schemas.events import Deletion
from precedent_schemas.subjects import deletion_subject, event_subject, outcome_subject


class FakeLog:
    """A Log; `messages` is what still exists, `history` all that ever did."""

    def __init__(self, chaos: Chaos = CALM) -> None:
        self.chaos = chaos
        self.created = "2026-01-01T00:00:00Z"
        self.last_seq = 0
        self.messages: dict[int, LogMessage] = {}
        self.history: dict[int, LogMessage] = {}
        self.erased: Counter[int] = Counter()
        """How often each sequence was asked to be erased."""
        self.purged: list[tuple[tuple[str, ...], int]] = []

    def publish(self, subject: str, data: bytes, headers: dict[str, list[str]] | None = None) -> int:
        """Store whatever a publisher sends; its sequence."""
        self.last_seq += 1
        stored = message(self.last_seq, data, subject=subject, headers=headers)
        self.messages[self.last_seq] = self.history[self.last_seq] = stored
        return self.last_seq

    def publish_event(self, body: dict[str, Any], collection: str = "incidents", kind: str = "auth") -> int:
        """Store an event."""
        return self.publish(event_subject(collection, kind), json.dumps(body).encode())

    def publish_outcome(self, body: dict[str, Any], collection: str = "incidents") -> int:
        """Store an outcome."""
        return self.publish(outcome_subject(collection), json.dumps(body).encode())

    def delete(self, deletion: Deletion, collection: str = "incidents") -> int:
        """Store a deletion, as another indexer would have."""
        return self.publish(deletion_subject(collection), encode_log_message(deletion))

    async def deletions(self, collection: str, after_seq: int) -> AsyncIterator[LogMessage]:
        """The deletions of a collection."""
        for seq, one in sorted(self.messages.items()):
            if seq > after_seq and one.subject == deletion_subject(collection):
                yield one

    def lose(self, seq: int) -> None:
        """Make a message vanish before anybody has seen it."""
        self.messages.pop(seq, None)
        self.history.pop(seq, None)

    async def state(self) -> LogState:
        """Its extent."""
        self._step("state")
        first = min(self.messages, default=self.last_seq + 1)
        size = sum(len(one.data) for one in self.messages.values())
        return LogState(self.created, first, self.last_seq, len(self.messages), size)

    async def gone(self) -> list[int]:
        """What is missing in between."""
        self._step("gone")
        return [seq for seq in range(min(self.messages, default=0), self.last_seq) if seq not in self.messages]

    async def read(self, first: int, last: int) -> AsyncIterator[LogMessage]:
        """What exists, in order."""
        for seq in range(first, last + 1):
            if seq in self.messages:
                self._step("read")
                yield self.messages[seq]

    async def publish_deletion(self, collection: str, deletion: Deletion) -> int:
        """Store a deletion."""
        self._step("publish_deletion")
        return self.delete(deletion, collection)

    async def erase(self, seqs: Sequence[int]) -> None:
        """Erase these, one after the other: a kill can fall between two."""
        for seq in seqs:
            self._step("erase")
            self.erased[seq] += 1
            self.messages.pop(seq, None)

    async def purge(self, subjects: Sequence[str], before_seq: int) -> None:
        """Remove what these subjects take in."""
        for subject in subjects:
            self._step("purge")
            prefix = subject.removesuffix(">")
            for seq, one in list(self.messages.items()):
                if seq < before_seq and (
                    one.subject.startswith(prefix) if prefix != subject else one.subject == subject
                ):
                    del self.messages[seq]
        self.purged.append((tuple(subjects), before_seq))
        self._step("purged")

    def _step(self, operation: str) -> None:
        self.chaos.step(f"log.{operation}", BusUnavailable(f"fake: {operation}"))
