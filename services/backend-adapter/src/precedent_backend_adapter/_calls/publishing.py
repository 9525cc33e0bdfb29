"""Methods that publish to the log, and those of the outbox."""

from abc import abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable, Mapping

from pydantic import BaseModel

from precedent_backend_adapter._calls.base import Calls
from precedent_backend_adapter._publishing import publications
from precedent_backend_adapter._publishing.pipeline import Pipeline
from precedent_backend_adapter._publishing.reports import DEFAULT_WINDOW, OutboxStatus, PublishProgress, PublishReport
from precedent_backend_adapter._tracing import context
from precedent_backend_adapter.errors import invalid
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas import INCIDENTS, FieldProblem, Outcome, SecurityEvent


class PublishingCalls(Calls):
    """Publish events and outcomes."""

    async def publish(self, event: SecurityEvent, *, headers: Mapping[str, str] | None = None) -> Receipt:
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
        with context.publishing(publications.of_event(event, headers)) as publication:
            return await self._send(publication)

    async def publish_many(
        self,
        events: Iterable[SecurityEvent] | AsyncIterable[SecurityEvent],
        *,
        window: int = DEFAULT_WINDOW,
        progress: Callable[[PublishProgress], None] | None = None,
    ) -> PublishReport:
        """Have the log take many events without waiting for each acknowledgement before the next is sent.

        Each is published as by `publish`: own message id, own retries, own deadline. One that fails does not stop
        the others. They are first sent in the order given; a retry may put one behind those that follow it, but
        never behind a later one with its own id.

        Args:
            events: what to publish; taken as there is room for them, so that it may be endless.
            window: most events whose acknowledgement is awaited at once, 1 or more.
            progress: called after each event that is settled; quick, since everything waits for it.

        Returns:
            Receipt or failure of every event, by position.

        Raises:
            Refused: `window` is no number above 0, `progress` no function, or `events` no series.
            Exception: whatever `events` or `progress` raises; what is in flight is then cancelled, and may have
                been stored.
        """
        if isinstance(window, bool) or not isinstance(window, int) or window < 1:
            raise invalid([FieldProblem(field="window", message=f"should be a number above 0 (got {window!r:.60})")])
        if progress is not None and not callable(progress):
            raise invalid([FieldProblem(field="progress", message=f"should be a function (got {progress!r:.60})")])
        if not isinstance(events, Iterable | AsyncIterable) or isinstance(events, str | bytes | BaseModel):
            # A model is iterable too: it gives its fields.
            message = f"should be a series of events (got {type(events).__name__})"
            raise invalid([FieldProblem(field="events", message=message)])
        return await Pipeline(self.publish, window, progress).run(events)

    async def publish_outcome(
        self, outcome: Outcome, *, collection: str = INCIDENTS, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """Have the log take what was decided about an event; as `publish`.

        The latest outcome is shown with its event wherever the event is shown.
        """
        with context.publishing(publications.of_outcome(outcome, collection, headers)) as publication:
            return await self._send(publication)

    async def republish(self, pending: Publication) -> Receipt:
        """Send exactly what an earlier call could not, with the same message id; as `publish`.

        Within ten minutes of the first attempt the log stores it at most once.
        """
        publications.check_pending(pending)
        with context.publishing(pending, again=True) as publication:
            return await self._send(publication)

    @abstractmethod
    async def outbox_status(self) -> OutboxStatus | None:
        """What waits in the outbox, and what stands against its delivery; None without one.

        Raises:
            OutboxUnavailable: its file cannot be read.
        """

    @abstractmethod
    async def flush(self) -> None:
        """Wait until the outbox is empty; what the log refused does not count. Without an outbox at once.

        It waits as long as there is no connection: bound it by `asyncio.timeout`.
        """
