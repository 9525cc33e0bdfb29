"""The check of expressions finds what it is there for."""

import pytest

from observability.expressions import Expression, Series, mistakes

SCRAPED = (
    Series("precedent_things_total", {"kind": "event", "result": "applied"}, "counter"),
    Series("precedent_wait_seconds_bucket", {"le": "1.0"}, "histogram"),
    Series("precedent_depth", {"queue": "a"}, "gauge"),
)


@pytest.mark.parametrize(
    "text",
    [
        'sum by (instance, kind) (rate(precedent_things_total{result="applied", job="x"}[5m])) > 0',
        "histogram_quantile(0.9, sum by (le) (rate(precedent_wait_seconds_bucket[$__rate_interval])))",
        'precedent_depth{instance=~"$instance", queue=~"a"} and on (instance) changes(precedent_depth[5m]) == 0',
    ],
)
def test_what_is_right_passes(text: str) -> None:
    """Names, labels and values that a scrape has, and those of the target, are no mistakes."""
    assert mistakes(Expression("here", text), SCRAPED) == []


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("precedent_thing_total > 0", "no metric 'precedent_thing_total'"),
        ('precedent_things_total{kind="evnt"}', "no precedent_things_total with kind='evnt'"),
        ('precedent_things_total{kin="event"}', "no precedent_things_total with kin='event'"),
        ('precedent_things_total{kind=~"event|outcome"}', "no precedent_things_total with kind='outcome'"),
        ("sum by (knd) (precedent_depth)", "no label 'knd' to group or match by"),
        ("precedent_depth / on (quue) precedent_depth", "no label 'quue' to group or match by"),
        ("rate(precedent_depth[5m])", "rate of precedent_depth, which is no counter"),
    ],
)
def test_what_is_wrong_is_found(text: str, mistake: str) -> None:
    """A name, a label, a value or a function that does not fit is named."""
    assert mistakes(Expression("here", text), SCRAPED) == [mistake]


def test_what_cannot_be_read_is_an_error() -> None:
    """Half an expression is none."""
    with pytest.raises(ValueError, match="paren"):
        mistakes(Expression("here", "sum("), SCRAPED)
