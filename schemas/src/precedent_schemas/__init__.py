"""The wire contract of Precedent: what both sides of the bus agree on, and nothing else.

`subjects`, `streams` and `limits` hold names and numbers; `events`, `questions`, `answers`, `jobs` and
`dead_letters` the messages; `failures` the errors; `codec` turns bytes into messages; `catalogue`
lists every question.
"""

from precedent_schemas.answers import (
    BucketCount,
    ClearReply,
    CollectionStatsReply,
    Coverage,
    DeleteReply,
    Entry,
    GetReply,
    Hit,
    ListReply,
    ModelRef,
    RecurrenceReply,
    SearchReply,
    StatsReply,
    StreamState,
    Summary,
)
from precedent_schemas.codec import DecodeError
from precedent_schemas.events import Deletion, EventBody, Outcome, SecurityEvent, StoredEvent, Verdict
from precedent_schemas.failures import DeadReason, ErrorBody, ErrorReason, FieldProblem
from precedent_schemas.questions import Bucket, Filter, Order, SeverityRange, TimeRange
from precedent_schemas.subjects import INCIDENTS, RULES

__all__ = [
    "INCIDENTS",
    "RULES",
    "Bucket",
    "BucketCount",
    "ClearReply",
    "CollectionStatsReply",
    "Coverage",
    "DeadReason",
    "DecodeError",
    "DeleteReply",
    "Deletion",
    "Entry",
    "ErrorBody",
    "ErrorReason",
    "EventBody",
    "FieldProblem",
    "Filter",
    "GetReply",
    "Hit",
    "ListReply",
    "ModelRef",
    "Order",
    "Outcome",
    "RecurrenceReply",
    "SearchReply",
    "SecurityEvent",
    "SeverityRange",
    "StatsReply",
    "StoredEvent",
    "StreamState",
    "Summary",
    "TimeRange",
    "Verdict",
]
