"""The errors of the indexer, by what is at fault.

IndexerError
├── StartRefused          settings, streams, consumer or directory contradict what must hold: the process ends
│   ├── SettingsWrong     a setting, or a file that one names, cannot be used
│   └── StartDenied       the NATS server refuses us, or is not one that we trust
├── Fault                 not the message's fault: retried until it passes, nothing is dead-lettered for it
│   ├── BusUnavailable    NATS or JetStream does not answer, or answers that it cannot
│   │   └── NotPermitted  the server does not let our credentials do it
│   │   ├── JetStreamOff        the server, or our account on it, has no JetStream
│   │   ├── JetStreamRefused    it answers with an error
│   │   └── DeadLettersRefused  the dead-letter stream takes no message
│   ├── StoreUnavailable  Chroma fails
│   │   └── ResourceShortage  for want of files, memory, threads, room or permission: nothing is rebuilt for it
│   └── ModelUnavailable  the model runtime fails on a text that it must be able to embed
├── Stalled               ingest does not advance for an unknown reason: the process ends
├── LeaseLost             another replica has the lease: the process ends, and restarts as a follower
├── Outrun                another process was quicker: what was read no longer exists
├── IndexBroken           the index directory cannot be read: it is rebuilt from the log
├── ConsumerGone          the durable consumer was deleted: it is created again at the watermark
├── CommandFailed         no indexer answers a command, or it refuses: the command ends
│   └── CommandDenied     the NATS server does not let our credentials ask
├── JobFailed             a rebuild or a verification cannot go on: it ends, and the index stays as it was
├── ImportFailed          old data cannot be read, or its import cannot go on: the command ends, and can be run again
└── QuestionFailed        what the caller of a question is told, in the error body of the contract
"""

from enum import IntEnum
from typing import Final

from precedent_schemas.failures import ERROR_CODES, ErrorBody, ErrorDetail, ErrorReason, FieldProblem


class JetStreamCode(IntEnum):
    """JetStream's numbers (`err_code`) of the errors that the indexer tells apart."""

    SYSTEM_UNAVAILABLE = 10008
    """The cluster has no meta leader."""
    NOT_LEADER = 10009
    CONSUMER_NOT_FOUND = 10014
    MESSAGE_NOT_FOUND = 10037
    OFF_FOR_ACCOUNT = 10039
    SEQUENCE_NOT_FOUND = 10043
    STREAM_NOT_FOUND = 10059
    WRONG_LAST_SEQUENCE = 10071
    """A compare-and-set lost: the stream has a later message."""
    OFF = 10076
    STORE_FAILED = 10077
    WRONG_LAST_SEQUENCE_IN_FLIGHT = 10164
    """The same for a replicated stream, whose later message is not stored by every replica yet."""


LEADERLESS: Final = frozenset({JetStreamCode.SYSTEM_UNAVAILABLE, JetStreamCode.NOT_LEADER})
"""The cluster is electing a leader."""
MESSAGE_GONE: Final = frozenset({JetStreamCode.MESSAGE_NOT_FOUND, JetStreamCode.SEQUENCE_NOT_FOUND})
"""The message does not exist any more."""
COMPARE_AND_SET_LOST: Final = frozenset(
    {JetStreamCode.WRONG_LAST_SEQUENCE, JetStreamCode.WRONG_LAST_SEQUENCE_IN_FLIGHT}
)
"""Another client has written since the sequence that the publish expected."""

_REFUSALS: Final[dict[int, str]] = {
    JetStreamCode.STREAM_NOT_FOUND: (
        "a stream of the log or of the dead letters is gone: start the indexer again, it makes what is missing"
    ),
    JetStreamCode.OFF_FOR_ACCOUNT: (
        "JetStream is not enabled for our account: enable it in the account's configuration (`jetstream: enabled`)"
    ),
    JetStreamCode.OFF: (
        "JetStream is switched off on the NATS server: start it with `--jetstream`, or with `jetstream {}` in its "
        "configuration"
    ),
    JetStreamCode.STORE_FAILED: "the log refuses messages: it is full (raise its max_bytes), or its disk",
}
"""What these errors mean to the operator."""
_OFF: Final = frozenset({JetStreamCode.OFF_FOR_ACCOUNT, JetStreamCode.OFF})
"""No request succeeds until the configuration of the server is changed."""


FAILED: Final = 1
"""Exit code of a failure that may pass: trying again can help."""
WRONG: Final = 2
"""Exit code of a wrong argument or setting."""
REFUSED: Final = 3
"""Exit code if something is missing or refused: trying again does not help."""


class IndexerError(Exception):
    """Base of all errors.

    Attributes:
        exit_code: exit code of a command that fails with this error.
    """

    exit_code = FAILED


class StartRefused(IndexerError):
    """The process must not run like this; the message names the thing, its value and the remedy."""


class SettingsWrong(StartRefused):
    """A setting, or a file that one names, cannot be used."""

    exit_code = WRONG


class StartDenied(StartRefused):
    """The NATS server refuses our credentials, denies them a permission, or has a certificate that we do not trust."""

    exit_code = REFUSED


class Fault(IndexerError):
    """Something that the indexer depends on fails; it may recover.

    Its text is for our log: subjects, numbers, kinds of errors, a server's own word; never what an event says.

    Attributes:
        says: what fails, in words that are safe to show to any client.
    """

    says = "something that the indexer depends on fails"


class BusUnavailable(Fault):
    """NATS or JetStream does not answer, or answers that it cannot."""

    says = "NATS or JetStream does not answer"


class JetStreamRefused(BusUnavailable):
    """JetStream answered with an error.

    Attributes:
        code: class of the error, as in HTTP.
        err_code: JetStream's number of the error; see `JetStreamCode`.
    """

    def __init__(self, what: str, code: int, err_code: int, description: str) -> None:
        self.code = code
        self.err_code = err_code
        self.says = _REFUSALS.get(err_code, f"JetStream refuses a request ({code}/{err_code})")
        remedy = f": {self.says}" if err_code in _OFF else ""
        super().__init__(f"{what}: {description} ({code}/{err_code}){remedy}")


class JetStreamOff(BusUnavailable):
    """The server that we are connected to has no JetStream, nor has one that it knows; the message has the remedy."""

    says = _REFUSALS[JetStreamCode.OFF]


class NotPermitted(BusUnavailable):
    """Our credentials may not publish or subscribe on a subject; the message names the subject and the remedy."""

    says = "the indexer's user may not do on the bus what it must: its log names the subject"
    exit_code = REFUSED


class DeadLettersRefused(BusUnavailable):
    """The dead-letter stream refuses a message: ingest waits, since skipping a refused message would lose it."""

    says = "the dead-letter stream refuses messages: it is full (drop dead letters or raise its max_bytes), or its disk"


class StoreUnavailable(Fault):
    """Chroma fails."""

    says = "the index cannot be read or written"


class ResourceShortage(StoreUnavailable):
    """The store fails for want of open files, memory, threads, room or permission; the message names the remedy.

    That says nothing of the index: nothing is rebuilt for it.
    """

    says = "the system does not give the index what it needs: the indexer's log names it"


class ModelUnavailable(Fault):
    """The model runtime fails."""

    says = "the model embeds nothing any more"


class Stalled(IndexerError):
    """Ingest does not advance although messages wait, and a restart of it did not help."""


class LeaseLost(IndexerError):
    """Another replica has the lease to write."""


class Outrun(IndexerError):
    """The value to be replaced no longer exists: another process replaced it."""


class IndexBroken(IndexerError):
    """The index directory cannot be read as an index."""


class ConsumerGone(IndexerError):
    """The durable consumer no longer exists."""


class CommandFailed(IndexerError):
    """A command cannot do what it was asked for; the message names the thing and the remedy."""


class CommandDenied(CommandFailed):
    """The NATS server does not let our credentials ask; the message names the subject and the remedy."""

    exit_code = REFUSED


class JobFailed(IndexerError):
    """Long work on the index cannot go on; the text is safe to show."""


class ImportFailed(IndexerError):
    """Old data cannot be imported, or not further; the message names the thing, its value and the remedy."""


class QuestionFailed(IndexerError):
    """A question that gets an error for an answer; the text is safe to show."""

    def __init__(self, reason: ErrorReason, message: str, details: list[FieldProblem] | None = None) -> None:
        self.reason = reason
        self.message = message
        self.details = details or []
        super().__init__(message)

    @property
    def code(self) -> int:
        """Numeric code, as in the header Nats-Service-Error-Code."""
        return ERROR_CODES[self.reason]

    def body(self) -> ErrorBody:
        """What the caller gets."""
        return ErrorBody(
            error=ErrorDetail(code=self.code, reason=str(self.reason), message=self.message, details=self.details)
        )
