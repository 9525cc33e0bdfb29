"""What a filter means to an event, part by part."""

from typing import Any

import pytest

from precedent_schemas import Filter, Outcome, StoredEvent
from precedent_schemas.filtering import merged_networks, predicate

EVENT = StoredEvent.model_validate(
    {
        "id": "e-1",
        "collection": "incidents",
        "kind": "auth.brute_force",
        "text": "Failed login at the caf\u00e9",
        "occurred_at": "2026-01-31T12:00:00Z",
        "severity": 3,
        "source": "sshd",
        "user": "jos\u00e9",
        "ip": "203.0.113.7",
        "attributes": {"port": 22, "ratio": 2.0, "tor": True, "tags": ["a", "b"], "city": "Malm\u00f6"},
    }
)
BARE = StoredEvent.model_validate(EVENT.model_dump() | {"source": None, "user": None, "ip": None, "attributes": {}})
BENIGN = Outcome.model_validate({"event_id": "e-1", "verdict": "benign"})


@pytest.mark.parametrize(
    ("passes", "stops"),
    [
        ({"kinds": ["auth"]}, {"kinds": ["authz", "auth.brute"]}),
        ({"severity": {"min": 3, "max": 3}}, {"severity": {"min": 4}}),
        ({"sources": ["x", "sshd"]}, {"sources": ["SSHD"]}),
        ({"users": ["jose\u0301"]}, {"users": ["jose"]}),
        ({"ips": ["203.0.113.7"]}, {"ips": ["203.0.113.8"]}),
        ({"networks": ["10.0.0.0/8", "203.0.113.0/24"]}, {"networks": ["10.0.0.0/8", "::/0"]}),
        ({"occurred_at": {"after": "2026-01-31T12:00:00Z"}}, {"occurred_at": {"before": "2026-01-31T12:00:00Z"}}),
        ({"attributes": {"port": 22.0, "ratio": 2}}, {"attributes": {"port": "22"}}),
        ({"attributes": {"tor": True}}, {"attributes": {"tor": 1}}),
        ({"attributes": {"tags": ["c", "b"]}}, {"attributes": {"tags": "c"}}),
        ({"attributes": {"city": "Malmo\u0308"}}, {"attributes": {"missing": "x"}}),
        ({"contains": "cafe\u0301"}, {"contains": "failed"}),
        ({"verdicts": ["benign", "unknown"]}, {"verdicts": ["true_positive"]}),
        ({"exclude_ids": ["e-2"]}, {"exclude_ids": ["e-1"]}),
        ({"kinds": ["auth"], "severity": {"max": 3}}, {"kinds": ["auth"], "severity": {"max": 2}}),
    ],
)
def test_each_part_lets_pass_what_it_says(passes: dict[str, Any], stops: dict[str, Any]) -> None:
    """Every part that is given must hold."""
    let, stop = predicate(Filter.model_validate(passes)), predicate(Filter.model_validate(stops))
    assert let is not None
    assert stop is not None
    assert let(EVENT, BENIGN)
    assert not stop(EVENT, BENIGN)


@pytest.mark.parametrize(
    "wanted",
    [{"sources": ["sshd"]}, {"users": ["x"]}, {"networks": ["0.0.0.0/0", "::/0"]}, {"attributes": {"port": 22}}],
)
def test_what_an_event_lacks_matches_nothing(wanted: dict[str, Any]) -> None:
    """Neither does a missing outcome, not even the verdict `unknown`."""
    passes = predicate(Filter.model_validate(wanted))
    assert passes is not None
    assert not passes(BARE, BENIGN)
    undecided = predicate(Filter.model_validate({"verdicts": ["unknown"]}))
    assert undecided is not None
    assert not undecided(EVENT, None)


@pytest.mark.parametrize(
    "nothing", [None, {}, {"severity": {}, "occurred_at": {}, "exclude_ids": [], "attributes": {}}]
)
def test_a_filter_without_parts_is_none(nothing: dict[str, Any] | None) -> None:
    """Callers can tell that there is nothing to check."""
    assert predicate(None if nothing is None else Filter.model_validate(nothing)) is None


def test_networks_are_merged() -> None:
    """Overlaps are gone, and versions stay apart."""
    merged = merged_networks(["::/0", "10.1.0.0/16", "10.0.0.0/8"])
    assert list(map(str, merged)) == ["10.0.0.0/8", "::/0"]
