"""What callers ask: the request of every verb, and the filter that several share.

A field that is not known is refused here, unlike in events: a misspelled filter must never widen an answer.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from precedent_schemas.events import Verdict
from precedent_schemas.fields import (
    AttributeFilter,
    Collection,
    IpAddress,
    Kind,
    Label,
    Network,
    Sequence,
    Severity,
    StoredId,
    Text,
    Timestamp,
)
from precedent_schemas.limits import (
    DEFAULT_K,
    DEFAULT_LIMIT,
    DEFAULT_RECURRENCE_SIMILARITY,
    DEFAULT_WAIT_MS,
    MAX_CURSOR_CHARS,
    MAX_K,
    MAX_TEXT_CHARS,
    MAX_WAIT_MS,
)
from precedent_schemas.messages import Question


class SeverityRange(Question):
    """Severities from `min` to `max`, both included."""

    min: Severity | None = None
    max: Severity | None = None


class TimeRange(Question):
    """Moments from `after` (included) until `before` (excluded)."""

    after: Timestamp | None = None
    before: Timestamp | None = None


def _several(what: str) -> object:
    return Field(min_length=1, max_length=MAX_K, description=what)


class Filter(Question):
    """Which events may be in the answer: every part that is given must hold."""

    kinds: Annotated[list[Kind] | None, _several("Each takes in the kinds below it")] = None
    severity: SeverityRange | None = None
    sources: Annotated[list[Label] | None, _several("One of these sources")] = None
    users: Annotated[list[Label] | None, _several("One of these users")] = None
    ips: Annotated[list[IpAddress] | None, _several("One of these addresses")] = None
    networks: Annotated[
        list[Network] | None,
        _several("In one of these CIDR networks; host bits are ignored, a v6 network matches no v4 address"),
    ] = None
    occurred_at: TimeRange | None = None
    attributes: Annotated[
        AttributeFilter | None,
        Field(description="Each key holds this value, or one of these; a stored list holds each of its values"),
    ] = None
    contains: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_TEXT_CHARS,
            strict=True,
            description="Substring of the text; case matters, composed and decomposed characters are the same",
        ),
    ] = None
    verdicts: Annotated[list[Verdict] | None, _several("The latest outcome is one of these")] = None
    exclude_ids: Annotated[list[StoredId] | None, Field(max_length=MAX_K, description="None of these events")] = None


class _About(Question):
    """Exactly one of `text` and `id`."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": [name], "properties": {name: {"type": "string"}}} for name in ("text", "id")]
        }
    )

    text: Annotated[Text | None, Field(description="What to look for, in words")] = None
    id: Annotated[StoredId | None, Field(description="An event of the collection: more like that one")] = None
    filter: Filter | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.text is None) == (self.id is None):
            raise ValueError('needs exactly one of "text" and "id"')
        return self


class SearchRequest(_About):
    """`search`: the events nearest in meaning, best first."""

    k: Annotated[int, Field(ge=1, le=MAX_K, strict=True, description="Most hits to give")] = DEFAULT_K
    min_similarity: Annotated[
        float | None,
        Field(ge=-1, le=1, strict=True, allow_inf_nan=False, description="Least cosine similarity"),
    ] = None
    min_seq: Annotated[
        Sequence | None, Field(description="Wait until the index covers this sequence: read your own write")
    ] = None
    wait_ms: Annotated[
        int, Field(ge=0, le=MAX_WAIT_MS, strict=True, description="Longest wait for min_seq, milliseconds")
    ] = DEFAULT_WAIT_MS


class Bucket(StrEnum):
    """Width of a recurrence's buckets; they begin at whole minutes, hours or days of UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


class RecurrenceRequest(_About):
    """`recurrence`: how often events like this one came; with `id`, that event counts too."""

    min_similarity: Annotated[
        float,
        Field(ge=-1, le=1, strict=True, allow_inf_nan=False, description="Least cosine similarity that counts"),
    ] = DEFAULT_RECURRENCE_SIMILARITY
    bucket: Bucket = Bucket.DAY


class GetRequest(Question):
    """`get`: events by id."""

    ids: Annotated[list[StoredId], Field(min_length=1, max_length=MAX_K)]


class Order(StrEnum):
    """Order of a listing, by stream sequence."""

    NEWEST = "newest"
    OLDEST = "oldest"


class ListRequest(Question):
    """`list`: all events that pass a filter, page by page."""

    filter: Filter | None = None
    order: Order = Order.NEWEST
    limit: Annotated[int, Field(ge=1, le=MAX_K, strict=True, description="Most events on the page")] = DEFAULT_LIMIT
    cursor: Annotated[
        str | None,
        Field(min_length=1, max_length=MAX_CURSOR_CHARS, strict=True, description="From the page before"),
    ] = None


class DeleteRequest(Question):
    """`delete`: remove events for good, from the index and from the log."""

    ids: Annotated[list[StoredId], Field(min_length=1, max_length=MAX_K)]


class ClearRequest(Question):
    """`clear`: remove a whole collection for good."""

    confirm: Annotated[Collection, Field(description="The name of the collection, once more")]


class StatsRequest(Question):
    """Both `stats`: nothing to say."""


class RebuildRequest(Question):
    """`rebuild`: nothing to say."""


class VerifyRequest(Question):
    """`verify`: compare, and mend where asked to."""

    repair: Annotated[bool, Field(strict=True, description="Mend what differs, by the log")] = False


class DeadListRequest(Question):
    """`list` of the dead letters, newest first."""

    limit: Annotated[int, Field(ge=1, le=MAX_K, strict=True)] = DEFAULT_LIMIT
    cursor: Annotated[str | None, Field(min_length=1, max_length=MAX_CURSOR_CHARS, strict=True)] = None


class DeadSeqsRequest(Question):
    """`get` and `drop` of dead letters, by the sequences that they had in the log."""

    seqs: Annotated[list[Sequence], Field(min_length=1, max_length=MAX_K)]


class DeadReplayRequest(DeadSeqsRequest):
    """`replay` of dead letters: publish their bytes anew."""

    force: Annotated[bool, Field(strict=True, description="Also where the event's id has a later revision by now")] = (
        False
    )
