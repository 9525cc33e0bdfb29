"""Long work on the index: how far it is, and how it ended."""

from typing import Annotated, Final

from pydantic import Field

from precedent_schemas.fields import Timestamp
from precedent_schemas.limits import MAX_JOB_EXAMPLES
from precedent_schemas.messages import Answer

REBUILD: Final = "rebuild"
"""Fill a new generation of the index from the log, and switch to it."""
VERIFY: Final = "verify"
"""Compare the log with the index, both ways."""
REPAIR: Final = "repair"
"""The same, and mend what differs."""

JobKind = Annotated[str, Field(examples=[REBUILD, VERIFY, REPAIR])]


class Job(Answer):
    """Work that is under way."""

    id: Annotated[str, Field(description="Tells it from every other; its end is shown under the same")]
    kind: JobKind
    phase: Annotated[str, Field(examples=["filling", "comparing", "switching", "reading", "walking", "mending"])]
    done_seq: Annotated[int, Field(ge=0, description="The phase has worked through the log up to here")]
    target_seq: Annotated[int, Field(ge=0, description="The phase ends here")]
    per_second: Annotated[float | None, Field(ge=0, description="Sequences; unknown at first")] = None
    eta_s: Annotated[float | None, Field(ge=0, description="Seconds until the phase ends; unknown at first")] = None
    started_at: Timestamp


class Difference(Answer):
    """One event of which the log and the index say different things."""

    collection: str
    id: str
    what: Annotated[
        str,
        Field(
            description="`missing` or `orphaned` in the index, or what differs there",
            examples=["missing", "orphaned", "content", "revision", "outcome", "vector"],
        ),
    ]


class JobReport(Answer):
    """What a job found and did; a field that has nothing to do with it is absent."""

    events: Annotated[int | None, Field(ge=0, description="Events filled in, or compared")] = None
    reason: Annotated[str | None, Field(description="Why the index was rebuilt")] = None
    overlap_at_10: Annotated[
        float | None, Field(ge=0, le=1, description="Of the ten nearest before and after, on a sample")
    ] = None
    vectors_reused: Annotated[int | None, Field(ge=0, description="Vectors that needed no embedding")] = None
    missing: Annotated[int | None, Field(ge=0, description="In the log, not in the index")] = None
    orphaned: Annotated[int | None, Field(ge=0, description="In the index, not in the log")] = None
    differing: Annotated[int | None, Field(ge=0, description="In both, not the same")] = None
    repaired: Annotated[int | None, Field(ge=0, description="Of these, mended")] = None
    rebuild_advised: Annotated[bool | None, Field(description="So much differs that a rebuild is the quicker way")] = (
        None
    )
    examples: list[Difference] = Field(
        default_factory=list,
        description=f"At most {MAX_JOB_EXAMPLES} each of what is missing, orphaned, differing",
    )


class EndedJob(Answer):
    """The job that ended last."""

    id: str
    kind: JobKind
    outcome: Annotated[str, Field(examples=["done", "failed"])]
    error: Annotated[str | None, Field(description="Why it failed")] = None
    report: JobReport | None = None
    ended_at: Timestamp
    took_s: Annotated[float, Field(ge=0)]


class JobReply(Answer):
    """Reply of `rebuild` and `verify`, at once: follow it by the service's `stats`."""

    job: Job
    joined: Annotated[bool, Field(description="It was running already; another kind is refused meanwhile")]
