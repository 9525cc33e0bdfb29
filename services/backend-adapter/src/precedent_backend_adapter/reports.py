"""What became of many events: the report of `publish_many`, and how far it is meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from precedent_backend_adapter.errors import PrecedentError
from precedent_backend_adapter.receipts import Receipt

DEFAULT_WINDOW: Final = 256
"""Events of one `publish_many` whose acknowledgement is awaited at once."""


@dataclass(frozen=True, slots=True)
class PublishProgress:
    """How far a `publish_many` is.

    Attributes:
        taken: events taken from the input so far.
        published: those that the log has.
        failed: those that it does not have, or of which nobody knows.
    """

    taken: int
    published: int
    failed: int

    @property
    def in_flight(self) -> int:
        """Events whose acknowledgement is still to come."""
        return self.taken - self.published - self.failed


@dataclass(frozen=True, slots=True)
class PublishReport:
    """The fate of every event, by its position in the input, which begins at 0; each is in one of the two.

    Attributes:
        receipts: of the events that the log has.
        failures: the exception that `publish` would have raised; `NotDelivered` and `DeliveryUnknown` carry what
            `republish` takes.
    """

    receipts: Mapping[int, Receipt] = field(default_factory=dict)
    failures: Mapping[int, PrecedentError] = field(default_factory=dict)

    @property
    def last_seq(self) -> int | None:
        """Highest sequence among the receipts; give it as `after` to read all that was written. None without any."""
        return max((receipt.seq for receipt in self.receipts.values()), default=None)
