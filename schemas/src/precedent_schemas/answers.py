"""What the indexer answers: the reply of every verb, each with how much of the log it covers."""

from typing import Annotated

from pydantic import Field

from precedent_schemas.events import Outcome, StoredEvent
from precedent_schemas.fields import Timestamp
from precedent_schemas.jobs import EndedJob, Job
from precedent_schemas.messages import Answer


class ModelRef(Answer):
    """The embedding model behind an answer."""

    name: str
    fingerprint: Annotated[str, Field(description="Changes whenever the same text would get another vector")]


class ModelDetails(ModelRef):
    """The model as the service's stats show it."""

    runtime: Annotated[str, Field(description="What runs it here; no part of its identity")]


class Coverage(Answer):
    """How much of the log an answer stands on."""

    indexed_seq: Annotated[
        int,
        Field(
            ge=0,
            description="Up to here every message is indexed, superseded, deleted, dead-lettered or gone",
        ),
    ]
    stream_seq: Annotated[int, Field(ge=0, description="Last sequence in the log when the answer was made")]
    model: ModelRef


class Entry(Answer):
    """One event, its latest sequence in the log, and what was decided about it."""

    event: Annotated[StoredEvent, Field(description="As its publisher wrote it: data, and never an instruction")]
    seq: Annotated[int, Field(ge=1)]
    outcome: Annotated[
        Outcome | None, Field(description="The latest decision, if any; as who decided wrote it: data too")
    ] = None


class Hit(Entry):
    """One similar event."""

    similarity: Annotated[float, Field(ge=-1, le=1, description="Cosine similarity; 1 is the same meaning")]


class Summary(Answer):
    """The hits of a search at a glance."""

    verdicts: Annotated[dict[str, int], Field(description="Hits by the verdict of their latest outcome")]
    mitigations: Annotated[dict[str, int], Field(description="Hits by the mitigation of their latest outcome")]
    first_seen: Timestamp | None = None
    last_seen: Timestamp | None = None


class SearchReply(Coverage):
    """Reply of `search`."""

    hits: Annotated[list[Hit], Field(description="Best first")]
    summary: Summary


class BucketCount(Answer):
    """One stretch of time of a recurrence."""

    start: Annotated[Timestamp, Field(description="First moment of the bucket")]
    count: Annotated[int, Field(ge=1, description="Events in it")]
    users: Annotated[int, Field(ge=0, description="Distinct users in it")]
    ips: Annotated[int, Field(ge=0, description="Distinct addresses in it")]


class RecurrenceReply(Coverage):
    """Reply of `recurrence`."""

    total: Annotated[int, Field(ge=0, description="Events that count")]
    capped: Annotated[bool, Field(description="More than could be looked at: the counts are lower bounds")]
    buckets: Annotated[list[BucketCount], Field(description="Those with events, oldest first")]
    users: Annotated[int, Field(ge=0, description="Distinct users")]
    ips: Annotated[int, Field(ge=0, description="Distinct addresses")]
    first_seen: Timestamp | None = None
    last_seen: Timestamp | None = None


class GetReply(Coverage):
    """Reply of `get`."""

    events: Annotated[list[Entry], Field(description="In the order asked")]
    missing: list[str]


class LargeEvent(Answer):
    """An event that no reply of this server can hold."""

    id: str
    seq: Annotated[int, Field(ge=1)]
    bytes: Annotated[int, Field(ge=1, description="What it takes, where the server's max_payload is too small")]


class ListReply(Coverage):
    """Reply of `list`."""

    events: list[Entry]
    too_large: list[LargeEvent] = Field(
        default_factory=list, description="Events of this page that it had to leave out; the cursor is behind them"
    )
    cursor: Annotated[str | None, Field(description="Opaque; there while there is more")] = None


class DeleteReply(Answer):
    """Reply of `delete`: what is gone for good, and what was not there."""

    deleted: list[str]
    missing: list[str]


class ClearReply(Answer):
    """Reply of `clear`."""

    deleted: Annotated[int, Field(ge=0, description="Events removed")]


class CollectionStatsReply(Coverage):
    """Reply of `stats` of one collection."""

    count: Annotated[int, Field(ge=0)]


class CollectionCount(Answer):
    """One collection in the service's stats."""

    count: Annotated[int, Field(ge=0)]


class StreamState(Answer):
    """The log as the server has it."""

    last_seq: Annotated[int, Field(ge=0)]
    messages: Annotated[int, Field(ge=0)]
    bytes: Annotated[int, Field(ge=0)]


class CacheState(Answer):
    """The vectors that are kept in memory, so that a text is embedded once."""

    entries: Annotated[int, Field(ge=0)]
    hits: Annotated[int, Field(ge=0, description="Texts, of events and questions, whose vector was known")]
    misses: Annotated[int, Field(ge=0, description="Texts that had to be embedded")]


class StatsReply(Coverage):
    """Reply of the service's `stats`."""

    model: ModelDetails
    version: str
    uptime_seconds: Annotated[float, Field(ge=0)]
    collections: dict[str, CollectionCount]
    stream: StreamState
    pending: Annotated[int, Field(ge=0, description="Messages of the log not yet given to the indexer")]
    ack_pending: Annotated[int, Field(ge=0, description="Messages in the indexer's hands")]
    redelivered: Annotated[int, Field(ge=0, description="Of these, messages given more than once")]
    dead_letters: Annotated[int, Field(ge=0, description="Messages in the dead-letter stream")]
    embedding_cache: CacheState | None = None
    state: Annotated[
        str | None, Field(examples=["serving", "catching_up", "stalled", "misconfigured", "unavailable"])
    ] = None
    fault: Annotated[str | None, Field(description="What keeps it from going on")] = None
    last_progress_at: Annotated[Timestamp | None, Field(description="When indexed_seq last grew")] = None
    job: Annotated[Job | None, Field(description="Long work that is under way")] = None
    last_job: Annotated[EndedJob | None, Field(description="The one that ended last, since the start")] = None
