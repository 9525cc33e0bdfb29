"""Who may do what on the bus: the one table that the server's configuration is made from.

Every name in it comes from the schemas, which both sides import; what is spelled out here is the API of JetStream
and of NATS services alone. A role that is not permitted something is denied it: there are no lists of what is denied.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from precedent_schemas import catalogue, subjects
from precedent_schemas.subjects import CONSUMER, DEAD_LETTERS_STREAM, EVENTS_STREAM, QUEUE_GROUP, SERVICE

STREAMS: Final = (EVENTS_STREAM, DEAD_LETTERS_STREAM)
DISCOVERY: Final = ("PING", "INFO", "STATS")
"""Verbs that every NATS service answers."""
QUESTIONS: Final = (
    catalogue.SEARCH,
    catalogue.RECURRENCE,
    catalogue.GET,
    catalogue.LIST,
    catalogue.COLLECTION_STATS,
)
"""What an asker may ask a collection."""


class Role(StrEnum):
    """What somebody is there for."""

    PUBLISHER = "publisher"
    """Puts events and outcomes into the log; reads nothing."""
    ASKER = "asker"
    """Asks the indexer; changes nothing."""
    ANALYST = "analyst"
    """Asks the indexer, and records outcomes; publishes no events."""
    TOOL = "tool"
    """Publishes and asks: what `precedent publish --wait`, `precedent outcome --wait` and `precedent import` need."""
    INDEXER = "indexer"
    """`precedent-indexer serve`, and its `health`; one key for each index."""
    OPERATOR = "operator"
    """`precedent-indexer init`, and the verbs that remove, revive and repair; reads no events, but dead letters."""
    IMPORTER = "importer"
    """`precedent-indexer import-chroma`: reads the log of its collection and publishes into it."""
    BACKUP = "backup"
    """Saves the streams whole, and puts them back where they are lost: it has everything that the log has."""
    VIEWER = "viewer"
    """Looks at streams, consumer and service with the `nats` command; at messages only where that is granted."""


NARROWED_BY_COLLECTION: Final = frozenset({Role.PUBLISHER, Role.ASKER, Role.ANALYST, Role.TOOL, Role.IMPORTER})
NARROWED_BY_KIND: Final = frozenset({Role.PUBLISHER, Role.TOOL})
PUBLISH_EVERY_KIND: Final = frozenset({Role.ANALYST, Role.IMPORTER, Role.INDEXER})
"""Roles that publish and cannot be narrowed to kinds: beside one of them, `kinds` would restrict nothing."""
LIMITED: Final = frozenset({Role.PUBLISHER, Role.ASKER, Role.ANALYST, Role.TOOL})
"""Roles that work from an account of their own, which is what limits of one user need."""


@dataclass(frozen=True, slots=True)
class Scope:
    """How far a role reaches.

    Attributes:
        collections: only these; empty means all.
        kinds: events only of these kinds and the kinds below them, and no outcomes; empty means all.
        payloads: a viewer may read single messages.
    """

    collections: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    payloads: bool = False


EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the server is told.

    Attributes:
        publish: subjects that may be published on.
        subscribe: subjects that may be listened to; one with a queue group after a space only in that group.
        responses: whether the reply subject of a message that arrived may be answered on, for a while.
    """

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    responses: bool = False


def inbox_prefix(user: str) -> str:
    """Where a user hears answers: its own, so that no other user hears them."""
    return f"_INBOX_{user}"


def combined(roles: Iterable[Role], user: str, scope: Scope = EVERYTHING) -> Permissions:
    """What a user with several roles may do: what any of them may."""
    rows = [permissions(role, user, scope) for role in roles]
    return Permissions(
        # Each subject once, in the order of the roles.
        tuple(dict.fromkeys(subject for row in rows for subject in row.publish)),
        tuple(dict.fromkeys(subject for row in rows for subject in row.subscribe)),
        responses=any(row.responses for row in rows),
    )


def permissions(role: Role, user: str, scope: Scope = EVERYTHING) -> Permissions:
    """The row of the table for one role of a user."""
    inbox = f"{inbox_prefix(user)}.>"
    collections = scope.collections or ("*",)
    match role:
        case Role.PUBLISHER:
            return Permissions((*_events(collections, scope.kinds), *_outcomes(collections, scope.kinds)), (inbox,))
        case Role.ASKER:
            return Permissions(_questions(scope), (inbox,))
        case Role.ANALYST:
            return Permissions((*_questions(scope), *_outcomes(collections, ())), (inbox,))
        case Role.TOOL:
            return combined((Role.PUBLISHER, Role.ASKER), user, scope)
        case Role.INDEXER:
            return Permissions(_INDEXER_PUBLISHES, (inbox, *_INDEXER_HEARS), responses=True)
        case Role.OPERATOR:
            return Permissions((*_LOOK, *_OPERATE), (inbox,))
        case Role.IMPORTER:
            gets = (subjects.question_subject(one, catalogue.GET.verb) for one in collections)
            return Permissions((*_events(collections, ()), *gets, *_READ_LOG), (inbox,))
        case Role.BACKUP:
            return Permissions(_BACK_UP, (inbox,))
        case Role.VIEWER:
            return Permissions((*_LOOK, *(_READ_MESSAGES if scope.payloads else ())), (inbox,))


def _api(*operations: str) -> tuple[str, ...]:
    return tuple(f"$JS.API.{operation}" for operation in operations)


def _each(operations: Iterable[str], streams: Sequence[str] = STREAMS) -> tuple[str, ...]:
    return _api(*(f"{operation}.{stream}" for operation in operations for stream in streams))


def _of_consumer(*operations: str) -> tuple[str, ...]:
    return _api(*(f"CONSUMER.{operation}.{EVENTS_STREAM}.{CONSUMER}" for operation in operations))


def _events(collections: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    tails = [tail for kind in kinds for tail in (kind, f"{kind}.>")] or [">"]
    return tuple(subjects.event_subject(collection, tail) for collection in collections for tail in tails)


def _outcomes(collections: Sequence[str], kinds: Sequence[str]) -> tuple[str, ...]:
    # An outcome names its event by the id, so that nothing on the bus could keep it to events of some kinds.
    return () if kinds else tuple(map(subjects.outcome_subject, collections))


def _questions(scope: Scope) -> tuple[str, ...]:
    if not scope.collections:
        return (*(one.subject for one in QUESTIONS), catalogue.STATS.subject)
    # The figures of the whole service name every collection.
    return tuple(
        subjects.question_subject(collection, one.verb) for collection in scope.collections for one in QUESTIONS
    )


_READ_LOG: Final = _each(("STREAM.INFO", "STREAM.MSG.GET", "DIRECT.GET"), (EVENTS_STREAM,))
_READ_MESSAGES: Final = _each(("STREAM.MSG.GET", "DIRECT.GET"))
_LOOK: Final = (
    *_api("INFO", "STREAM.LIST", "STREAM.NAMES"),
    *_each(("STREAM.INFO", "CONSUMER.LIST", "CONSUMER.NAMES")),
    *_of_consumer("INFO"),
    *(f"$SRV.{verb}{of}" for verb in DISCOVERY for of in ("", f".{SERVICE}", f".{SERVICE}.*")),
    catalogue.STATS.subject,
    catalogue.COLLECTION_STATS.subject,
    # What may I do? So that `nats account info` says it.
    "$SYS.REQ.USER.INFO",
)
_BACK_UP: Final = (
    *_each(("STREAM.INFO", "STREAM.SNAPSHOT", "STREAM.RESTORE")),
    # What is saved is acknowledged piece by piece, and what is put back is sent so.
    *(f"$JS.SNAPSHOT.{way}.{stream}.*" for way in ("ACK", "RESTORE") for stream in STREAMS),
)
_OPERATE: Final = (
    *_each(("STREAM.CREATE", "STREAM.UPDATE"), (*STREAMS, subjects.LEASES_STREAM)),
    *_each(("STREAM.INFO",), (subjects.LEASES_STREAM,)),
    *_of_consumer("CREATE", "DELETE"),
    *(
        one.subject
        for one in (
            catalogue.DELETE,
            catalogue.CLEAR,
            catalogue.REBUILD,
            catalogue.VERIFY,
            catalogue.DEAD_LIST,
            catalogue.DEAD_GET,
            catalogue.DEAD_REPLAY,
            catalogue.DEAD_DROP,
        )
    ),
)
_INDEXER_PUBLISHES: Final = (
    *_each(("STREAM.INFO", "DIRECT.GET", "STREAM.MSG.GET", "STREAM.MSG.DELETE")),
    *_each(("STREAM.PURGE",), (EVENTS_STREAM,)),
    *_of_consumer("INFO", "CREATE", "DELETE", "MSG.NEXT"),
    # Said outright, since the permission to respond ends after a while, and work may take longer.
    f"$JS.ACK.{EVENTS_STREAM}.{CONSUMER}.>",
    f"{subjects.DEAD_PREFIX}.>",
    f"{subjects.DELETIONS_PREFIX}.*",
    # A dead letter is replayed on the subject that it came from.
    f"{subjects.EVENTS_PREFIX}.>",
    f"{subjects.OUTCOMES_PREFIX}.*",
    # Is the index that the consumer feeds being served by somebody else?
    f"$SRV.PING.{SERVICE}",
    # What may I do? So that a missing permission is found out at the start, and not by the first deletion.
    "$SYS.REQ.USER.INFO",
    # `precedent-indexer health` asks the indexer beside it.
    catalogue.STATS.subject,
    # Where several replicas share an index: the lease to write it, and what the others hand on to the writer.
    *_each(("STREAM.INFO", "STREAM.MSG.GET"), (subjects.LEASES_STREAM,)),
    subjects.LEASE_SUBJECT,
    f"{subjects.REPLICAS_PREFIX}.>",
)
_INDEXER_HEARS: Final = (
    *(f"{one.subject} {QUEUE_GROUP}" for one in catalogue.ENDPOINTS),
    f"{subjects.REPLICAS_PREFIX}.>",
    *(f"$SRV.{verb}{of}" for verb in DISCOVERY for of in ("", f".{SERVICE}", f".{SERVICE}.*")),
)
