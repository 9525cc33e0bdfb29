"""What became of many events: the report of `publish_many`, how far it is meanwhile, and what an outbox holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
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
        failed: those that it does not have, or whose fate is unknown.
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
        """Highest sequence among the receipts; give it as `after` to read all that was written. None without any.

        Raises:
            NotDeliveredYet: some wait in the outbox; see `delivered`.
        """
        return max((receipt.seq for receipt in self.receipts.values()), default=None)

    async def delivered(self) -> "PublishReport":
        """The same once the log has what the outbox took; what it refuses is among the failures then.

        Without an outbox at once. Raises nothing.
        """
        receipts: dict[int, Receipt] = {}
        failures = dict(self.failures)
        for position, receipt in self.receipts.items():
            try:
                receipts[position] = await receipt.delivered()
            except PrecedentError as error:
                failures[position] = error
        return PublishReport(receipts, failures)


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What waits in an outbox.

    Attributes:
        path: its file.
        waiting: events and outcomes that wait for their turn.
        set_aside: those that the log refused; they hold up nothing and are tried again from time to time.
        size: bytes of them all.
        max_events: most of them all; beyond it the outbox takes no more.
        max_bytes: likewise their bytes.
        oldest: since when the first one waits; None where nothing does.
        fault: what stands against the delivery now; None while it goes on.
    """

    path: str
    waiting: int
    set_aside: int
    size: int
    max_events: int
    max_bytes: int
    oldest: datetime | None = None
    fault: str | None = None
