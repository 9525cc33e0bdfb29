"""The verbs `search` and `get`."""

from collections import Counter
from collections.abc import Sequence

from precedent_indexer.api.filter import compile_filter
from precedent_indexer.api.index_view import IndexView
from precedent_indexer.domain.rows import Row
from precedent_schemas import answers, questions


class Search:
    """Searches one generation of the index."""

    def __init__(self, view: IndexView) -> None:
        self._view = view

    async def search(self, collection: str, request: questions.SearchRequest) -> answers.SearchReply:
        """The events nearest in meaning, best first."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        vector = await self._view.vector(collection, request.text, request.id)
        # One more than asked for where the event itself must be left out of the answer.
        wanted = request.k + (request.id is not None)
        found = await self._view.nearest(collection, vector, wanted, compile_filter(request.filter))
        least = -1.0 if request.min_similarity is None else request.min_similarity
        hits = [
            answers.Hit(**dict(entry(row)), similarity=similarity)
            for row, similarity in found
            if similarity >= least and row.event.id != request.id
        ][: request.k]
        coverage = await self._view.coverage(covered)
        return answers.SearchReply(**dict(coverage), hits=hits, summary=summary_of(hits))

    async def get(self, collection: str, request: questions.GetRequest) -> answers.GetReply:
        """Events by id, in the order asked."""
        await self._view.must_exist(collection)
        covered = self._view.progress.indexed_seq
        ids = list(dict.fromkeys(request.ids))
        rows = await self._view.workers.read(self._view.store.rows, collection, ids)
        return answers.GetReply(
            **dict(await self._view.coverage(covered)),
            events=[entry(rows[one]) for one in ids if one in rows],
            missing=[one for one in ids if one not in rows],
        )


def entry(row: Row) -> answers.Entry:
    """A row as callers see it."""
    return answers.Entry(event=row.event, seq=row.seq, outcome=row.outcome.outcome if row.outcome else None)


def summary_of(hits: Sequence[answers.Hit]) -> answers.Summary:
    """Of the hits of one answer."""
    decided = [hit.outcome for hit in hits if hit.outcome is not None]
    seen = [hit.event.occurred_at for hit in hits]
    return answers.Summary(
        verdicts=dict(Counter(str(outcome.verdict) for outcome in decided)),
        mitigations=dict(Counter(outcome.mitigation for outcome in decided if outcome.mitigation)),
        first_seen=min(seen, default=None),
        last_seen=max(seen, default=None),
    )
