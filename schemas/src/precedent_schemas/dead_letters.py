"""Dead letters as callers see them, and the replies of their verbs."""

from typing import Annotated

from pydantic import Field

from precedent_schemas.failures import DeadReason
from precedent_schemas.fields import Timestamp
from precedent_schemas.messages import Answer


class DeadLetter(Answer):
    """One refused message, with its original bytes."""

    seq: Annotated[int, Field(ge=1, description="Sequence that the original had in the log")]
    reason: DeadReason
    detail: Annotated[str, Field(description="Printable ASCII: what is wrong with it")]
    subject: Annotated[str, Field(description="Subject of the original")]
    headers: Annotated[dict[str, list[str]], Field(description="Headers of the original, without Nats-")]
    data: Annotated[str, Field(description="Payload of the original, base64")]
    deliveries: Annotated[int, Field(ge=0, description="How often it was given to the indexer")]
    dead_at: Annotated[Timestamp, Field(description="When it became a dead letter")]


class DeadListReply(Answer):
    """Reply of `list`: each original sequence once."""

    dead_letters: list[DeadLetter]
    too_large: list[int] = Field(
        default_factory=list,
        description="Sequences of this page that it had to leave out; the cursor is behind them",
    )
    cursor: Annotated[str | None, Field(description="Opaque; there while there is more")] = None


class DeadGetReply(Answer):
    """Reply of `get`."""

    dead_letters: list[DeadLetter]
    missing: list[int]


class Replayed(Answer):
    """One dead letter that is in the log again."""

    seq: Annotated[int, Field(ge=1, description="Sequence of the original")]
    new_seq: Annotated[int, Field(ge=1, description="Sequence of what was published anew")]


class ReplayRefused(Answer):
    """One dead letter that was left alone."""

    seq: Annotated[int, Field(ge=1)]
    message: str


class DeadReplayReply(Answer):
    """Reply of `replay`."""

    replayed: list[Replayed]
    refused: list[ReplayRefused]
    missing: list[int]


class DeadDropReply(Answer):
    """Reply of `drop`."""

    dropped: list[int]
    missing: list[int]
