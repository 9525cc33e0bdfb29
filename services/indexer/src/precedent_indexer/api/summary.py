"""What was decided about events like the one asked for, in a few numbers."""

from collections import Counter
from collections.abc import Sequence

from precedent_schemas import answers


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
