"""What a publish call prepares, and what it gives back."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Publication:
    """One message for the log, exactly as it is sent, however often it is sent.

    It can be kept and handed to `republish` later: the message id in its headers lets the log drop a second
    copy that comes within ten minutes of the first.

    Attributes:
        subject: where it goes.
        payload: the exact bytes; not shown in the repr, since events hold personal data.
        headers: the exact headers, with the message id.
        collection: collection of the event.
        id: id of the event; for an outcome, of the event decided about.
    """

    subject: str
    payload: bytes = field(repr=False)
    headers: Mapping[str, str]
    collection: str
    id: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The log has it: durable, and found by search as soon as the index has reached `seq`.

    Of a client with an outbox, a receipt says that the event is safe on disk. Until the log has it too, `seq` and
    `duplicate` raise `NotDeliveredYet`; `after` takes such a receipt all the same.

    Attributes:
        id: id of the event; for an outcome, of the event decided about.
        collection: collection of the event.
        seq: sequence in the log; give the receipt as `after` to read your own write.
        duplicate: the log had this very message already, from an earlier attempt of the same call.
    """

    id: str
    collection: str
    seq: int
    duplicate: bool = False

    @property
    def is_delivered(self) -> bool:
        """Whether the log has it; always true without an outbox."""
        return True

    async def delivered(self) -> "Receipt":
        """The receipt of the log, as soon as it has it; without an outbox at once.

        Raises:
            NotDelivered: the log refuses it: it was set aside in the outbox, and is tried again from time to time.
            NotDeliveredYet: the client was left before; the outbox keeps it and delivers it the next time.
        """
        return self
