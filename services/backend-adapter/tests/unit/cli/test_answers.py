"""Answers in other forms: CSV, chosen fields, kinds, weeks; and outcomes of events that are not there."""

import asyncio
import csv
import io

import pytest
from running_cli import given, run

from precedent_backend_adapter import NotPermitted
from precedent_backend_adapter.cli import kinds
from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
def client() -> InMemoryPrecedent:
    """One with three events: two of one kind, a Sunday and a Monday, and one that no table likes."""
    filled = InMemoryPrecedent()
    events = (
        {"id": "a", "user": "ana", "occurred_at": "2026-01-04T23:00:00Z", "attributes": {"port": 22, "tags": ["x"]}},
        {"id": "b", "user": "ana", "occurred_at": "2026-01-05T01:00:00Z", "severity": 4},
        {"id": "c", "kind": "scan", "text": '=1+1, "x"\n\x1b[2J', "occurred_at": "2026-01-06T00:00:00Z"},
    )
    asyncio.run(given(filled, *events))
    return filled


def test_csv_has_a_line_of_names_and_one_for_each_event(client: InMemoryPrecedent) -> None:
    """It is read back as it was; control characters are escaped, and what a spreadsheet would run is quoted."""
    rows = list(csv.DictReader(io.StringIO(run(client, "list", "--csv").out)))
    assert [one["id"] for one in rows] == ["c", "b", "a"]
    assert rows[0]["text"] == '\'=1+1, "x"\\n\\x1b[2J'
    assert (rows[1]["severity"], rows[1]["verdict"], rows[2]["attributes"]) == ("4", "", '{"port": 22, "tags": ["x"]}')
    hits = list(csv.DictReader(io.StringIO(run(client, "search", "many failed logins", "-k", "1", "--csv").out)))
    assert float(hits[0]["similarity"]) == pytest.approx(1)
    assert run(client, "recurrence", "--id", "a", "--csv").out.splitlines() == [
        "start,count,users,ips",
        "2026-01-04T00:00:00.000Z,1,1,0",
        "2026-01-05T00:00:00.000Z,1,1,0",
    ]


def test_fields_choose_what_is_shown(client: InMemoryPrecedent) -> None:
    """In the order given: as CSV, as JSON with one object on each line, and as a table with heads in words."""
    chosen = ("list", "--kind", "auth", "--fields", "occurred_at, attributes.port,id")
    assert run(client, *chosen, "--csv").out.splitlines() == [
        "occurred_at,attributes.port,id",
        "2026-01-05T01:00:00.000Z,,b",
        "2026-01-04T23:00:00.000Z,22,a",
    ]
    told = run(client, *chosen, "--json").lines()
    assert told[1] == {"occurred_at": "2026-01-04T23:00:00.000Z", "attributes.port": 22, "id": "a"}
    assert run(client, *chosen).out.splitlines()[0].split() == ["occurred", "at", "attributes.port", "id"]
    assert run(client, "search", "--id", "a", "-k", "1", "--fields", "id", "--json").lines() == [{"id": "b"}]


def test_an_unknown_field_is_refused_with_those_there_are(client: InMemoryPrecedent) -> None:
    """Before anything is asked."""
    done = run(client, "search", "x", "--fields", "id,sevrity")
    assert (done.code, done.out) == (2, "")
    assert "no field 'sevrity'" in done.err
    assert "severity" in done.err


def test_kinds_are_counted(client: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most frequent first, over all pages, as far as a filter lets them pass."""
    monkeypatch.setattr(kinds, "MAX_K", 1)
    told = run(client, "kinds", "--json").json()
    first, last = "2026-01-04T23:00:00.000Z", "2026-01-05T01:00:00.000Z"
    assert told["kinds"][0] == {"kind": "auth.brute_force", "count": 2, "first_seen": first, "last_seen": last}
    assert [one["kind"] for one in told["kinds"]] == ["auth.brute_force", "scan"]
    assert (told["indexed_seq"], told["stream_seq"]) == (3, 3)
    assert "1 event of 1 kind\n" in run(client, "kinds", "--kind", "scan").out
    assert run(client, "kinds", "--after", "2026-01-06", "--csv").out.splitlines()[1].startswith("scan,1,")


def test_weeks_begin_on_monday_and_add_up_days(client: InMemoryPrecedent) -> None:
    """Distinct users and addresses do not add up, so a week has none."""
    asked = ("recurrence", "--id", "a", "--min-similarity", "-1", "--bucket", "week")
    told = run(client, *asked, "--json").json()
    assert told["buckets"] == [
        {"start": "2025-12-29T00:00:00.000Z", "count": 1},
        {"start": "2026-01-05T00:00:00.000Z", "count": 2},
    ]
    assert told["total"] == 3
    assert run(client, *asked, "--csv").out.splitlines()[0] == "start,count"


def test_nothing_similar_names_threshold_nearest_and_coverage(client: InMemoryPrecedent) -> None:
    """Asked once more without the threshold; where nothing passes the filter, that is said."""
    for asked in (
        ("search", "many logins", "--min-similarity", "0.9"),
        ("recurrence", "many", "--min-similarity", "0.9"),
    ):
        shown = run(client, *asked).out
        assert "nothing similar at 0.9 or above; the nearest event has a similarity of 0." in shown
        assert "id b" in shown or "id a" in shown
        assert "indexed up to 3 of 3" in shown
        assert run(client, *asked, "--json").json()["indexed_seq"] == 3
    assert "no event that passes the filter" in run(client, "search", "x", "--kind", "none").out


def test_an_outcome_of_an_event_that_is_not_there_is_refused(client: InMemoryPrecedent) -> None:
    """Nothing is published unless it is forced."""
    done = run(client, "outcome", "nobody", "benign")
    assert (done.code, done.out) == (3, "")
    assert "incidents has no event 'nobody': nothing was published; --force" in done.err
    assert run(client, "outcome", "a", "benign", "--collection", "rules").code == 3
    assert run(client, "stats", "--json").json()["stream"]["last_seq"] == 3
    assert run(client, "outcome", "nobody", "benign", "--force").code == 0


def test_who_may_not_ask_is_told_of_force(client: InMemoryPrecedent) -> None:
    """Whether the event is there is asked of the index, which takes a right of its own."""
    client.fail_next(NotPermitted("may not ask"))
    done = run(client, "outcome", "a", "benign")
    assert (done.code, done.out) == (3, "")
    assert "may not ask; --force publishes without asking" in done.err
