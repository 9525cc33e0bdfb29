"""Messages that were in flight when the process crashed: each is prepared alone, for the ingest and for a rebuild.

Nothing else is in flight meanwhile, so that a second crash is the fault of the one message that the journal names. A
message that was alone in flight at two crashes is dead-lettered without being processed again.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from precedent_indexer.domain.messages import LogMessage, Refusal
from precedent_indexer.ingest.applier import Applier, Prepared
from precedent_indexer.ingest.crash_journal import CrashJournal
from precedent_schemas.failures import DeadReason

ENDED_TWICE: Final = "the process ended twice while this message was in hand"
"""Detail of the dead letter of a message that was alone in flight at two crashes."""


class SuspectIsolation:
    """Prepares suspected messages for one applier, by the journal of its generation."""

    def __init__(self, journal: CrashJournal, applier: Applier) -> None:
        self._journal = journal
        self._applier = applier
        self._is_probed = False

    async def prepare(
        self, message: LogMessage, prepare: Callable[[Sequence[LogMessage]], Awaitable[Prepared]]
    ) -> Prepared:
        """Prepare a suspected message while nothing else is in flight, or refuse it after two crashes.

        Raises:
            Fault: the model or the store does not work, whatever the message.
            StoreUnavailable: the journal cannot be written.
        """
        if not self._is_probed:
            # A model or a store that crashes the process on any input must not count against the message.
            await self._applier.probe()
            self._is_probed = True
        if self._journal.is_guilty(message.seq):
            return Prepared([message], (), {}, {message.seq: Refusal(DeadReason.UNPROCESSABLE, ENDED_TWICE)})
        self._journal.take_alone(message.seq)
        return await prepare([message])
