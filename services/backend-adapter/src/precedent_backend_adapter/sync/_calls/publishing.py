"""Methods that publish to the log, and those of the outbox. Written by `tools/sync_calls.py`: do not edit."""

from collections.abc import Mapping

from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_backend_adapter.sync._base import SyncCalls
from precedent_schemas import INCIDENTS, Outcome, SecurityEvent


class PublishingCalls(SyncCalls):
    """Publish events and outcomes."""

    def publish(self, event: SecurityEvent, *, headers: Mapping[str, str] | None = None) -> Receipt:
        """Have the log take one event; retried with one message id until it has it or the deadline is over.

        An event without an id or a time gets both here. A publish that is cancelled may have been stored. A client
        with an outbox returns as soon as the event is on its disk, and delivers it later; see `Receipt`.

        Args:
            event: the event.
            headers: a trace carrier; its `traceparent` and `tracestate` are sent, anything else is left out. Without
                one, the context of the span in hand is sent, where OpenTelemetry traces.

        Raises:
            NotDelivered: the log certainly does not have it.
            DeliveryUnknown: it may have it; `republish(error.pending)`. With an outbox both speak of that.
            Refused: the event was built around its validation and would become a dead letter.
        """
        return self._call(lambda client: client.publish(event, headers=headers))

    def publish_outcome(
        self, outcome: Outcome, *, collection: str = INCIDENTS, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Have the log take what was decided about an event; as `publish`.

        The latest outcome is shown with its event wherever the event is shown.
        """
        return self._call(lambda client: client.publish_outcome(outcome, collection=collection, headers=headers))

    def republish(self, pending: Publication) -> Receipt:
        """Send exactly what an earlier call could not, with the same message id; as `publish`.

        Within ten minutes of the first attempt the log stores it at most once.
        """
        return self._call(lambda client: client.republish(pending))

    def outbox_status(self) -> OutboxStatus | None:
        """What waits in the outbox, and what stands against its delivery; None without one.

        Raises:
            OutboxUnavailable: its file cannot be read.
        """
        return self._call(lambda client: client.outbox_status())

    def flush(self) -> None:
        """Wait until the outbox is empty; what the log refused does not count. Without an outbox at once.

        It waits as long as there is no connection: bound it by `asyncio.timeout`.
        """
        return self._call(lambda client: client.flush())
