"""A lease that is had for as long as a test wants it."""

from dataclasses import dataclass

from precedent_indexer.errors import StoreUnavailable


@dataclass
class FakeFence:
    """A `Fence` whose lease a test takes away."""

    token: int = 1
    holds: bool = True

    def check(self) -> None:
        """Raises StoreUnavailable where it is not had."""
        if not self.holds:
            raise StoreUnavailable("the lease is not had")
