"""What goes into the log: events, outcomes and deletions; and an event as the index keeps it."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from precedent_schemas.fields import (
    Attributes,
    Collection,
    EventId,
    IpAddress,
    Kind,
    Label,
    Line,
    Severity,
    StoredId,
    Text,
    Timestamp,
)
from precedent_schemas.limits import MAX_K, MAX_TEXT_CHARS
from precedent_schemas.subjects import INCIDENTS, event_subject


class LogMessage(BaseModel):
    """Base of what publishers write: unknown fields are ignored, and null stands for an absent field.

    Attributes:
        empty_is_absent: fields in which an empty string stands for an absent field, too.
    """

    empty_is_absent: ClassVar[frozenset[str]] = frozenset()

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> dict[str, Any]:
        """The schema of what comes in says of every optional field that it may be null."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        if handler.mode == "validation":
            for name, field in schema["properties"].items():
                if name not in schema.get("required", ()) and {"type": "null"} not in field.get("anyOf", ()):
                    about = {key: field.pop(key) for key in ("default", "description") if key in field}
                    schema["properties"][name] = {"anyOf": [field, {"type": "null"}], **about}
        return schema

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, data: Any) -> Any:  # noqa: ANN401 -- pydantic hands over whatever came
        if isinstance(data, dict):
            return {
                key: value
                for key, value in data.items()
                if value is not None and not (value == "" and key in cls.empty_is_absent)
            }
        return data


class EventBody(LogMessage):
    """Payload of `security.events.v1.<collection>.<kind>`. Only `text` must be there."""

    empty_is_absent = frozenset({"source", "user", "ip"})

    text: Annotated[Text, Field(description="What happened, in words or as a log line; this is embedded")]
    id: Annotated[
        EventId | None,
        Field(description="Replaces an earlier event with this id; absent: `seq-<stream sequence>`"),
    ] = None
    occurred_at: Annotated[Timestamp | None, Field(description="When it happened; absent: when the log stored it")] = (
        None
    )
    severity: Annotated[Severity, Field(description="1 (informational) to 5 (critical)")] = 1
    source: Annotated[Line | None, Field(description="Which service said so")] = None
    user: Annotated[Label | None, Field(description="The user concerned")] = None
    ip: Annotated[IpAddress | None, Field(description="The address concerned; normalised")] = None
    attributes: Annotated[Attributes, Field(description="The publisher's own flat data")] = {}


class SecurityEvent(EventBody):
    """An event with the two things that its subject says: what a publisher works with.

    Unlike on the wire, an unknown field is refused: here it can only be a misspelling.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Annotated[Kind, Field(description="One to four tokens, general to particular, as in auth.brute_force")]
    collection: Annotated[Collection, Field(description="Collection that the event belongs to")] = INCIDENTS

    @property
    def subject(self) -> str:
        """Where the event is published."""
        return event_subject(self.collection, self.kind)


class StoredEvent(BaseModel):
    """An event as the index keeps it: whole, normalised, every default filled in."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: StoredId
    collection: Collection
    kind: Kind
    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]
    occurred_at: Timestamp
    severity: Severity
    source: Label | None = None
    user: Label | None = None
    ip: IpAddress | None = None
    attributes: Attributes = {}


class Verdict(StrEnum):
    """What was decided about an event."""

    TRUE_POSITIVE = "true_positive"
    FALSE_POSITIVE = "false_positive"
    BENIGN = "benign"
    UNKNOWN = "unknown"


class Outcome(LogMessage):
    """Payload of `security.outcomes.v1.<collection>`: what was decided about an event."""

    event_id: Annotated[StoredId, Field(description="The event decided about; it may still be to come")]
    verdict: Verdict
    mitigation: Annotated[Label | None, Field(description="What was done about it")] = None
    note: Annotated[
        str | None,
        Field(max_length=MAX_TEXT_CHARS, strict=True, description="Why, for people and agents to read"),
    ] = None
    by: Annotated[Label | None, Field(description="Who decided: a person or an agent")] = None
    decided_at: Annotated[
        Timestamp | None, Field(description="When it was decided; absent: when the log stored it")
    ] = None


class Deletion(LogMessage):
    """Payload of `security.deletions.v1.<collection>`: removes every earlier revision and outcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["ids"], "properties": {"ids": {"type": "array"}}},
                {"required": ["all"], "properties": {"all": {"const": True}}},
            ]
        }
    )

    ids: Annotated[list[StoredId] | None, Field(min_length=1, max_length=MAX_K)] = None
    all: Annotated[bool, Field(strict=True, description="The whole collection")] = False

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ids is None) == (not self.all):
            raise ValueError('needs exactly one of "ids" and "all": true')
        return self
