"""The entry of a lease in memory, and a clock that a test sets."""

from precedent_indexer.domain.writers import Claim
from precedent_indexer.errors import BusUnavailable, Outrun


class Clock:
    """Seconds, as a test wants them."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.now


class FakeEntry:
    """`lease.Entry`; its answers can get lost."""

    def __init__(self) -> None:
        self.claim: Claim | None = None
        self.revision = 0
        self.is_down = False
        """Nothing reaches it."""
        self.loses_answers = False
        """What is put is there, and nobody is told."""

    async def read(self) -> tuple[Claim | None, int]:
        """The claim and its revision."""
        if self.is_down:
            raise BusUnavailable("down on order")
        return self.claim, self.revision

    async def put(self, claim: Claim, revision: int) -> int:
        """Replace it, where the revision is the last."""
        if self.is_down:
            raise BusUnavailable("down on order")
        if revision != self.revision:
            raise Outrun("changed")
        self.claim, self.revision = claim, self.revision + 1
        if self.loses_answers:
            raise BusUnavailable("the answer is lost on order")
        return self.revision
