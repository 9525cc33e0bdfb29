"""The dead-letter stream in memory."""

from collections import Counter
from collections.abc import Mapping

from fakes.chaos import CALM, Chaos
from precedent_indexer.errors import BusUnavailable
from precedent_indexer.ports import LogMessage, Refusal


class FakeDeadLetters:
    """DeadLetters; `letters` has one for each original sequence, as the stream's own duplicate window sees to."""

    def __init__(self, chaos: Chaos = CALM) -> None:
        self.chaos = chaos
        self.letters: dict[int, tuple[LogMessage, Refusal]] = {}
        self.puts: Counter[int] = Counter()

    async def put(self, message: LogMessage, refusal: Refusal) -> None:
        """Keep it."""
        self.chaos.step("dead_letters.put", BusUnavailable("fake: put"))
        self.letters.setdefault(message.seq, (message, refusal))
        self.puts[message.seq] += 1
        self.chaos.step("dead_letters.acknowledge", BusUnavailable("fake: put, but nobody heard of it"))

    async def refresh(self) -> None:
        """Nothing to do: it knows."""

    def refusals(self) -> Mapping[int, Refusal]:
        """Why each original was refused."""
        return {seq: refusal for seq, (_, refusal) in self.letters.items()}

    async def count(self) -> int:
        """How many there are."""
        return len(self.letters)
