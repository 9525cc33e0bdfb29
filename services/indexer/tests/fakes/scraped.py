"""What a scrape would find."""

from precedent_indexer.observability.metrics import Metrics


def scraped(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of one series of ours, by its name without the prefix.

    Raises:
        AssertionError: there is none: a series that appears only once it has moved cannot be alerted on.
    """
    value = metrics.registry.get_sample_value(f"precedent_{name}", labels)
    assert value is not None, f"no series {name} {labels}"
    return value
