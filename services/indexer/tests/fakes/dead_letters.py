"""The dead-letter stream in memory."""

from collections import Counter
from collections.abc import Collection, Mapping

from fakes.chaos import CALM, Chaos
from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.domain.operations import named_event
from precedent_indexer.errors import BusUnavailable


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

    def about(self, collection: str, ids: Collection[str]) -> list[int]:
        """Originals that name one of these events."""
        named = {seq: named_event(message) for seq, (message, _) in self.letters.items()}
        return sorted(seq for seq, event in named.items() if event and event[0] == collection and event[1] in ids)

    async def remove(self, original: int) -> None:
        """Forget it."""
        self.chaos.step("dead_letters.remove", BusUnavailable("fake: remove"))
        self.letters.pop(original, None)

    async def count(self) -> int:
        """How many there are."""
        return len(self.letters)
