"""The durable consumer in memory: it can reorder, duplicate, delay, lose and redeliver, and it can be deleted."""

import asyncio
import itertools
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fakes.chaos import CALM, Chaos
from fakes.log import FakeLog
from precedent_indexer.domain.messages import ConsumerState, LogMessage
from precedent_indexer.errors import BusUnavailable, ConsumerGone


class Quirk(StrEnum):
    """What becomes of a message on its way from the server."""

    PLAIN = "plain"
    LOST = "lost"
    """Delivered as the server sees it, but it never arrives."""
    TWICE = "twice"
    FIRST = "first"
    """Before the others of its batch."""
    LATE = "late"
    """With the batch after."""


@dataclass(frozen=True)
class FakeDelivery:
    """A message; how it is settled is written down by the feed."""

    message: LogMessage
    feed: "FakeDeliveries"

    async def ack(self) -> None:
        """Write it down."""
        self.feed.settle(self.message.seq, "ack")

    async def term(self) -> None:
        """Write it down."""
        self.feed.settle(self.message.seq, "term")

    async def nak(self) -> None:
        """It comes again."""
        self.feed.give_back(self.message.seq)

    async def in_progress(self) -> None:
        """Write it down."""
        self.feed.touched.append(self.message.seq)


class FakeDeliveries:
    """Deliveries from a FakeLog; it outlives the process that it feeds, as the server's consumer does."""

    def __init__(self, log: FakeLog, chaos: Chaos = CALM, quirks: Iterable[Quirk] = ()) -> None:
        self.log = log
        self.chaos = chaos
        self.quirks = itertools.chain(quirks, itertools.repeat(Quirk.PLAIN))
        self.exists = True
        self.index_uuid: str | None = "fake"
        self.delivered_seq = 0
        self.pending_acks: dict[int, int] = {}
        """Sequences that the server waits for, and how often each was delivered."""
        self.settlements: defaultdict[int, list[str]] = defaultdict(list)
        self.touched: list[int] = []
        self.recreated_after: list[int] = []
        self.given_back: list[int] = []
        self.on_settle: Callable[[int, str], None] = lambda _seq, _how: None
        self._late: deque[LogMessage] = deque()
        self._again: deque[LogMessage] = deque()

    async def next_batch(self, limit: int, timeout_s: float) -> Sequence[FakeDelivery]:
        """What is due; silence is never waited out."""
        await asyncio.sleep(0)
        self._must_exist()
        self._step("next_batch")
        batch = [*self._late, *self._again]
        self._late.clear()
        self._again.clear()
        fresh = [seq for seq in sorted(self.log.messages) if seq > self.delivered_seq]
        for seq in fresh[: max(0, limit - len(batch))]:
            self.delivered_seq = seq
            self.pending_acks[seq] = 1
            self._send(self.log.messages[seq], batch)
        return [FakeDelivery(one, self) for one in batch]

    def waiting(self) -> Sequence[FakeDelivery]:
        """What is held back."""
        return [FakeDelivery(one, self) for one in self._late]

    async def state(self) -> ConsumerState:
        """As the server would say."""
        self._must_exist()
        self._step("state")
        pending = sum(seq > self.delivered_seq for seq in self.log.messages)
        again = sum(deliveries > 1 for deliveries in self.pending_acks.values())
        return ConsumerState(self.delivered_seq, pending, len(self.pending_acks), again, self.index_uuid, "fake")

    def settle(self, seq: int, how: str) -> None:
        """One delivery was settled."""
        self._step(how)
        self.on_settle(seq, how)
        self.settlements[seq].append(how)
        self.pending_acks.pop(seq, None)

    def give_back(self, seq: int) -> None:
        """One delivery will not be worked on: it is due once more."""
        self._step("nak")
        self.given_back.append(seq)
        if seq in self.pending_acks and seq in self.log.messages:
            self.pending_acks[seq] += 1
            self._again.append(replace(self.log.messages[seq], deliveries=self.pending_acks[seq]))

    def let_ack_wait_pass(self) -> None:
        """What is not settled is due once more, if the log still has it."""
        for seq in list(self.pending_acks):
            if seq not in self.log.messages:
                del self.pending_acks[seq]
                continue
            self.pending_acks[seq] += 1
            self._again.append(replace(self.log.messages[seq], deliveries=self.pending_acks[seq]))

    def forget_client(self) -> None:
        """The process is gone, and what was on its way to it."""
        self._late.clear()
        self._again.clear()

    def delete(self) -> None:
        """Somebody deletes the consumer."""
        self.exists = False
        self.forget_client()

    def recreate(self, after_seq: int) -> None:
        """Somebody makes it again."""
        self.exists = True
        self.delivered_seq = after_seq
        self.pending_acks.clear()
        self.recreated_after.append(after_seq)

    def _send(self, one: LogMessage, batch: list[LogMessage]) -> None:
        quirk = next(self.quirks)
        if quirk is Quirk.FIRST:
            batch.insert(0, one)
        elif quirk is Quirk.LATE:
            self._late.append(one)
        elif quirk is not Quirk.LOST:
            batch.extend([one] * (2 if quirk is Quirk.TWICE else 1))

    def _must_exist(self) -> None:
        if not self.exists:
            raise ConsumerGone("fake: the consumer was deleted")

    def _step(self, operation: str) -> None:
        self.chaos.step(f"feed.{operation}", BusUnavailable(f"fake: {operation}"))
