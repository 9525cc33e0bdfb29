"""What can go wrong in the indexer, and whose fault it is.

IndexerError
├── StartRefused          settings, streams, consumer or directory contradict what must hold: the process ends
├── Fault                 not the message's fault: retried until it passes, nothing is dead-lettered for it
│   ├── BusUnavailable    NATS or JetStream does not answer
│   ├── StoreUnavailable  Chroma fails
│   └── ModelUnavailable  the model runtime fails on a text that it must be able to embed
├── IndexBroken           the index directory cannot be read: it is rebuilt from the log
├── ConsumerGone          the durable consumer was deleted: it is created again from the watermark
├── ImportFailed          old data cannot be read, or its import cannot go on: the command ends, and can be run again
└── QuestionFailed        what the caller of a question is told, in the error body of the contract
"""

from precedent_schemas.failures import ERROR_CODES, ErrorBody, ErrorDetail, ErrorReason, FieldProblem


class IndexerError(Exception):
    """Base of all."""


class StartRefused(IndexerError):
    """The process must not run like this; the message names the thing, its value and the remedy."""


class Fault(IndexerError):
    """Something that the indexer depends on fails; it may recover."""


class BusUnavailable(Fault):
    """NATS or JetStream does not answer, or answers that it cannot."""


class JetStreamRefused(BusUnavailable):
    """JetStream answered with an error.

    Attributes:
        code: class of the error, as in HTTP.
        err_code: JetStream's own number for it.
    """

    def __init__(self, what: str, code: int, err_code: int, description: str) -> None:
        self.code = code
        self.err_code = err_code
        super().__init__(f"{what}: {description} ({code}/{err_code})")


class StoreUnavailable(Fault):
    """Chroma fails."""


class ModelUnavailable(Fault):
    """The model runtime fails."""


class IndexBroken(IndexerError):
    """The index directory holds nothing that can be read as an index."""


class ConsumerGone(IndexerError):
    """The durable consumer no longer exists."""


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
