"""The verb `recurrence`: how often events like this one came, and from how many users and addresses."""

from collections import defaultdict
from datetime import datetime
from typing import Final

from precedent_indexer.api.filter import compile_filter
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.domain.rows import Row
from precedent_schemas import answers, questions
from precedent_schemas.limits import MAX_K
from precedent_schemas.matching import canonical

_CUT: Final[dict[questions.Bucket, dict[str, int]]] = {
    questions.Bucket.MINUTE: {"second": 0, "microsecond": 0},
    questions.Bucket.HOUR: {"minute": 0, "second": 0, "microsecond": 0},
    questions.Bucket.DAY: {"hour": 0, "minute": 0, "second": 0, "microsecond": 0},
}


class Recurrence:
    """Counts over at most the 1,000 nearest events."""

    def __init__(self, view: IndexView) -> None:
        self._view = view

    async def recurrence(self, collection: str, request: questions.RecurrenceRequest) -> answers.RecurrenceReply:
        """How often; with an id, that event counts too."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        vector = await self._view.vector(collection, request.text, request.id)
        near = await self._view.nearest(collection, vector, MAX_K, compile_filter(request.filter))
        alike = [row for row, similarity in near if similarity >= request.min_similarity]
        seen = [row.event.occurred_at for row in alike]
        return answers.RecurrenceReply(
            **dict(await self._view.coverage(covered)),
            total=len(alike),
            capped=len(alike) == MAX_K,
            buckets=_buckets(alike, request.bucket),
            users=_distinct_users(alike),
            ips=len({row.event.ip for row in alike} - {None}),
            first_seen=min(seen, default=None),
            last_seen=max(seen, default=None),
        )


def _distinct_users(rows: list[Row]) -> int:
    return len({canonical(row.event.user) for row in rows if row.event.user is not None})


def _buckets(rows: list[Row], width: questions.Bucket) -> list[answers.BucketCount]:
    groups: defaultdict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.event.occurred_at.replace(**_CUT[width])].append(row)  # type: ignore[arg-type] # names of its fields
    return [
        answers.BucketCount(
            start=start,
            count=len(group),
            users=_distinct_users(group),
            ips=len({row.event.ip for row in group} - {None}),
        )
        for start, group in sorted(groups.items())
    ]
