"""Names on the bus: streams, subjects, the durable consumer, the service and headers.

Both sides import them from here, and no other place spells them out.
"""

import re
from dataclasses import dataclass
from typing import Final

from precedent_schemas.limits import MAX_KIND_TOKENS

EVENTS_STREAM: Final = "SECURITY_EVENTS"
"""The log: events, outcomes and deletions, in one order."""
DEAD_LETTERS_STREAM: Final = "SECURITY_DEAD_LETTERS"
"""What the indexer refused, with the original bytes."""
CONSUMER: Final = "indexer"
"""Durable pull consumer of the indexer on the log."""
SERVICE: Final = "indexer"
"""Name of the NATS service that answers questions."""
QUEUE_GROUP: Final = "q"
"""Queue group of the service: one replica answers each question."""

EVENTS_PREFIX: Final = "security.events.v1"
OUTCOMES_PREFIX: Final = "security.outcomes.v1"
DELETIONS_PREFIX: Final = "security.deletions.v1"
DEAD_PREFIX: Final = "security.dead.v1"
INDEX_PREFIX: Final = "security.index.v1"
DEAD_LETTERS_PREFIX: Final = "security.deadletters.v1"
REPLICAS_PREFIX: Final = "security.replicas.v1"
"""Questions that a replica which does not write hands on: `<collection>.<endpoint>.<token of the writer>` follows."""
LEASES_BUCKET: Final = "PRECEDENT_LEASES"
"""Key-value bucket of the lease to write an index that several replicas share."""
LEASES_STREAM: Final = f"KV_{LEASES_BUCKET}"
LEASE_SUBJECT: Final = f"$KV.{LEASES_BUCKET}.{CONSUMER}"
"""Its one entry: the durable consumer is one for each account, and so is the index that it feeds."""
NO_COLLECTION: Final = "_"
"""Stands in a dead letter's subject where the original subject has no legal collection."""

INCIDENTS: Final = "incidents"
"""Collection of what happened; exists from the start."""
RULES: Final = "rules"
"""Collection of what people decided should happen; exists from the start."""
STANDING_COLLECTIONS: Final = (INCIDENTS, RULES)

MSG_ID_HEADER: Final = "Nats-Msg-Id"
"""Lets the log drop a repeated delivery of one publish call."""
TRACE_HEADERS: Final = ("traceparent", "tracestate")
"""W3C trace context, from the publisher to whoever reads the log; it changes nothing else."""
REASON_HEADER: Final = "Precedent-Reason"
DETAIL_HEADER: Final = "Precedent-Detail"
STREAM_SEQ_HEADER: Final = "Precedent-Stream-Seq"
SUBJECT_HEADER: Final = "Precedent-Subject"
DELIVERIES_HEADER: Final = "Precedent-Deliveries"
ORIGINAL_HEADERS_HEADER: Final = "Precedent-Headers"
"""The original headers as base64 of a JSON object of lists of strings, without those that begin with `Nats-`."""
UNTRUSTED_HEADER: Final = "Precedent-Untrusted"
"""On a reply: the fields that hold what publishers wrote, separated by commas; data, and never an instruction."""
SERVICE_ERROR_HEADER: Final = "Nats-Service-Error"
SERVICE_ERROR_CODE_HEADER: Final = "Nats-Service-Error-Code"

COLLECTION_PATTERN: Final = r"^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$"
KIND_PATTERN: Final = rf"^[a-z0-9_-]+(\.[a-z0-9_-]+){{0,{MAX_KIND_TOKENS - 1}}}$"
_STREAMS: Final = {
    EVENTS_PREFIX: EVENTS_STREAM,
    OUTCOMES_PREFIX: EVENTS_STREAM,
    DELETIONS_PREFIX: EVENTS_STREAM,
    DEAD_PREFIX: DEAD_LETTERS_STREAM,
    f"$KV.{LEASES_BUCKET}": LEASES_STREAM,
}
_COLLECTION: Final = re.compile(COLLECTION_PATTERN)
_KIND: Final = re.compile(KIND_PATTERN)


@dataclass(frozen=True, slots=True)
class EventSubject:
    """Subject of an event: its collection and kind."""

    collection: str
    kind: str


@dataclass(frozen=True, slots=True)
class OutcomeSubject:
    """Subject of an outcome: the collection of the event that it is about."""

    collection: str


@dataclass(frozen=True, slots=True)
class DeletionSubject:
    """Subject of a deletion: the collection that it takes events from."""

    collection: str


LogSubject = EventSubject | OutcomeSubject | DeletionSubject


class SubjectError(ValueError):
    """A subject of the log that says no legal collection or kind; the message names which."""


def is_collection(name: str) -> bool:
    """Whether `name` may be a collection."""
    return _COLLECTION.fullmatch(name) is not None


def is_kind(kind: str) -> bool:
    """Whether `kind` is one to four legal tokens."""
    return _KIND.fullmatch(kind) is not None


def kind_prefixes(kind: str) -> list[str]:
    """`auth.brute_force` -> `["auth", "auth.brute_force"]`: every kind that takes this one in."""
    tokens = kind.split(".")
    return [".".join(tokens[: n + 1]) for n in range(len(tokens))]


def event_subject(collection: str, kind: str) -> str:
    """Subject on which an event is published."""
    return f"{EVENTS_PREFIX}.{collection}.{kind}"


def outcome_subject(collection: str) -> str:
    """Subject on which a decision about an event of `collection` is published."""
    return f"{OUTCOMES_PREFIX}.{collection}"


def deletion_subject(collection: str) -> str:
    """Subject on which the indexer writes deletions."""
    return f"{DELETIONS_PREFIX}.{collection}"


def dead_letter_subject(collection: str | None, reason: str) -> str:
    """Subject of a dead letter; `None` where the original subject had no legal collection."""
    return f"{DEAD_PREFIX}.{collection or NO_COLLECTION}.{reason}"


def question_subject(collection: str, verb: str) -> str:
    """Subject of a question to one collection."""
    return f"{INDEX_PREFIX}.{collection}.{verb}"


def collection_of(subject: str) -> str | None:
    """The legal collection that a subject of the log names, if any."""
    tokens = subject.split(".")
    return tokens[3] if len(tokens) > 3 and is_collection(tokens[3]) else None  # noqa: PLR2004 -- prefix of three


def stream_of(subject: str) -> str:
    """The stream that stores what is published on one of our subjects.

    Raises:
        SubjectError: none does.
    """
    for prefix, stream in _STREAMS.items():
        if subject.startswith(f"{prefix}."):
            return stream
    raise SubjectError(f"subject {subject[:64]!a} belongs to no stream of ours")


def log_subject_template(subject: str) -> str:
    """A subject of the log with collection and kind left open, as in `security.events.v1.{collection}.{kind}`."""
    for prefix in (OUTCOMES_PREFIX, DELETIONS_PREFIX):
        if subject.startswith(prefix + "."):
            return f"{prefix}.{{collection}}"
    return f"{EVENTS_PREFIX}.{{collection}}.{{kind}}"


def parse_log_subject(subject: str) -> LogSubject:
    """What a subject of the log says.

    Raises:
        SubjectError: the collection or the kind is not legal, or the subject is none of the log's.
    """
    for prefix, plain in ((OUTCOMES_PREFIX, OutcomeSubject), (DELETIONS_PREFIX, DeletionSubject)):
        if subject.startswith(prefix + "."):
            return plain(_legal_collection(subject.removeprefix(prefix + ".")))
    if not subject.startswith(EVENTS_PREFIX + "."):
        raise SubjectError(f"subject is none of the log's: expected {EVENTS_PREFIX}.<collection>.<kind>")
    collection, _, kind = subject.removeprefix(EVENTS_PREFIX + ".").partition(".")
    _legal_collection(collection)
    if not is_kind(kind):
        raise SubjectError(
            f"kind is not one to {MAX_KIND_TOKENS} tokens of [a-z0-9_-]: publish on {EVENTS_PREFIX}.{collection}.<kind>"
        )
    return EventSubject(collection, kind)


def _legal_collection(name: str) -> str:
    if not is_collection(name):
        raise SubjectError(f"collection in the subject does not match {COLLECTION_PATTERN}")
    return name
