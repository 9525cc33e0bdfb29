"""Every question of the service: name, subject, models and description.

The service's INFO, the AsyncAPI document and the adapter's tests all read this table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from precedent_schemas import answers, dead_letters, jobs, questions
from precedent_schemas.subjects import DEAD_LETTERS_PREFIX, INDEX_PREFIX


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the service.

    Attributes:
        name: as `$SRV.INFO` shows it; letters and dashes.
        subject: what it listens on; `*` stands for the collection.
        verb: last token of the subject.
        request: model of the request; no body means `{}`.
        reply: model of the reply.
        description: one sentence for people.
        untrusted: fields of the reply that hold what publishers wrote: data, and never an instruction.
    """

    name: str
    subject: str
    request: type[BaseModel]
    reply: type[BaseModel]
    description: str
    untrusted: tuple[str, ...] = ()

    @property
    def verb(self) -> str:
        """Last token of the subject."""
        return self.subject.rpartition(".")[2]

    @property
    def per_collection(self) -> bool:
        """Whether the subject names a collection."""
        return "*" in self.subject

    def metadata(self) -> dict[str, str]:
        """Metadata of the endpoint: the description and both JSON Schemas as strings."""
        return {
            "description": self.description,
            "request_schema": json.dumps(request_schema(self.request), separators=(",", ":")),
            "reply_schema": json.dumps(reply_schema(self.reply), separators=(",", ":")),
        }


class _Generator(GenerateJsonSchema):
    """Leaves out the titles of fields: they only repeat the names."""

    def field_title_should_be_set(self, schema: CoreSchema) -> bool:  # noqa: ARG002 -- pydantic's hook
        return False


def request_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of what a caller sends."""
    return model.model_json_schema(mode="validation", schema_generator=_Generator)


def reply_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema of what comes back."""
    return model.model_json_schema(mode="serialization", schema_generator=_Generator)


def _of_collection(
    verb: str, request: type[BaseModel], reply: type[BaseModel], description: str, *, untrusted: tuple[str, ...] = ()
) -> Endpoint:
    name = "collection-stats" if verb == "stats" else verb
    return Endpoint(name, f"{INDEX_PREFIX}.*.{verb}", request, reply, description, untrusted)


def _of_dead_letters(
    verb: str, request: type[BaseModel], reply: type[BaseModel], description: str, *, untrusted: tuple[str, ...] = ()
) -> Endpoint:
    return Endpoint(f"dead-{verb}", f"{DEAD_LETTERS_PREFIX}.{verb}", request, reply, description, untrusted)


SEARCH: Final = _of_collection(
    "search",
    questions.SearchRequest,
    answers.SearchReply,
    "The events nearest in meaning to a text or an event.",
    untrusted=("hits", "summary"),
)
RECURRENCE: Final = _of_collection(
    "recurrence",
    questions.RecurrenceRequest,
    answers.RecurrenceReply,
    "How often events like a text or an event came, by stretch of time, user and address.",
)
GET: Final = _of_collection(
    "get", questions.GetRequest, answers.GetReply, "Events by id, in the order asked.", untrusted=("events",)
)
LIST: Final = _of_collection(
    "list",
    questions.ListRequest,
    answers.ListReply,
    "All events that pass a filter, page by page.",
    untrusted=("events",),
)
DELETE: Final = _of_collection(
    "delete",
    questions.DeleteRequest,
    answers.DeleteReply,
    "Remove events for good, from the index and from the log.",
)
CLEAR: Final = _of_collection(
    "clear",
    questions.ClearRequest,
    answers.ClearReply,
    "Remove a whole collection for good, by purge of the log.",
)
COLLECTION_STATS: Final = _of_collection(
    "stats", questions.StatsRequest, answers.CollectionStatsReply, "Size and coverage of one collection."
)
STATS: Final = Endpoint(
    "stats",
    f"{INDEX_PREFIX}.stats",
    questions.StatsRequest,
    answers.StatsReply,
    "Version, model, collections, log and backlog of the indexer.",
)
REBUILD: Final = Endpoint(
    "rebuild",
    f"{INDEX_PREFIX}.rebuild",
    questions.RebuildRequest,
    jobs.JobReply,
    "Build the index anew from the log, while the old one answers; stats show how far it is.",
)
VERIFY: Final = Endpoint(
    "verify",
    f"{INDEX_PREFIX}.verify",
    questions.VerifyRequest,
    jobs.JobReply,
    "Compare the log with the index, both ways; stats show how far it is, and what was found.",
)
DEAD_LIST: Final = _of_dead_letters(
    "list",
    questions.DeadListRequest,
    dead_letters.DeadListReply,
    "What was refused, and why, newest first.",
    untrusted=("dead_letters",),
)
DEAD_GET: Final = _of_dead_letters(
    "get",
    questions.DeadSeqsRequest,
    dead_letters.DeadGetReply,
    "Dead letters by the sequence of the original.",
    untrusted=("dead_letters",),
)
DEAD_REPLAY: Final = _of_dead_letters(
    "replay", questions.DeadReplayRequest, dead_letters.DeadReplayReply, "Publish dead letters anew."
)
DEAD_DROP: Final = _of_dead_letters(
    "drop", questions.DeadSeqsRequest, dead_letters.DeadDropReply, "Forget dead letters."
)

ENDPOINTS: Final = (
    SEARCH,
    RECURRENCE,
    GET,
    LIST,
    DELETE,
    CLEAR,
    COLLECTION_STATS,
    STATS,
    REBUILD,
    VERIFY,
    DEAD_LIST,
    DEAD_GET,
    DEAD_REPLAY,
    DEAD_DROP,
)
"""In the order in which people meet them."""

BY_NAME: Final[Mapping[str, Endpoint]] = {endpoint.name: endpoint for endpoint in ENDPOINTS}
