"""The commands over a client in memory: what they publish, ask and show."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from running_cli import Done, given, run

from precedent_backend_adapter import Outcome, SecurityEvent, Verdict
from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
def client() -> InMemoryPrecedent:
    """An empty one."""
    return InMemoryPrecedent()


@pytest.fixture
def known(client: InMemoryPrecedent) -> InMemoryPrecedent:
    """One with three events of two kinds, about one of which something was decided."""

    async def fill() -> None:
        await given(
            client,
            {
                "id": "a",
                "severity": 5,
                "source": "sshd",
                "user": "admin",
                "ip": "203.0.113.7",
                "occurred_at": "2026-01-01T00:00:00Z",
                "attributes": {"port": 22},
            },
            {"id": "b", "kind": "auth.mfa", "ip": "2001:db8::1", "occurred_at": "2026-01-02T00:00:00Z"},
            {"id": "c", "kind": "scan", "text": "port scan", "user": "root", "occurred_at": "2026-01-03T00:00:00Z"},
        )
        await client.publish_outcome(Outcome(event_id="a", verdict=Verdict.TRUE_POSITIVE, mitigation="block ip"))

    asyncio.run(fill())
    return client


def listed(done: Done) -> list[str]:
    """Ids of events in JSON lines."""
    return [one["event"]["id"] for one in done.lines()]


def stored(client: InMemoryPrecedent, event_id: str, collection: str = "incidents") -> Any:
    """One event as the index has it."""
    [entry] = asyncio.run(client.get([event_id], collection=collection)).events
    return entry


def test_publish_puts_the_whole_event_into_the_log(client: InMemoryPrecedent) -> None:
    """Every option becomes its field, and the receipt is shown."""
    done = run(
        client,
        *("publish", "auth.brute_force", "many failed logins", "--collection", "lab", "--id", "x", "--severity", "5"),
        *("--source", "sshd", "--user", "admin", "--ip", "::ffff:192.0.2.1", "--at", "2026-01-31T13:00:00+01:00"),
        *("-a", "port:=22", "-a", "tag=x", "-a", "tag=y", "--json"),
    )
    assert done.json() == {"id": "x", "collection": "lab", "seq": 1, "duplicate": False}
    event = stored(client, "x", "lab").event
    assert event.model_dump(mode="json") == {
        "id": "x",
        "collection": "lab",
        "kind": "auth.brute_force",
        "text": "many failed logins",
        "occurred_at": "2026-01-31T12:00:00.000Z",
        "severity": 5,
        "source": "sshd",
        "user": "admin",
        "ip": "192.0.2.1",
        "attributes": {"port": 22, "tag": ["x", "y"]},
    }


def test_publish_reads_a_text_from_stdin(client: InMemoryPrecedent) -> None:
    """A dash stands for stdin, as elsewhere."""
    assert run(client, "publish", "auth", "-", "--id", "x", stdin="from a pipe\n").code == 0
    assert stored(client, "x").event.text == "from a pipe"


def test_publish_can_wait_until_it_is_found(client: InMemoryPrecedent) -> None:
    """With --wait a message that became a dead letter is told, with the reason."""
    assert "stored x in incidents at 1" in run(client, "publish", "auth", "text", "--id", "x", "--wait").out
    for number in range(70):
        run(client, "publish", "auth", "text", "--collection", f"more-{number}")
    done = run(client, "publish", "auth", "text", "--collection", "one-too-many", "--wait")
    assert done.code == 3
    assert "more than 64" in done.err


def test_an_outcome_is_published_and_shown(known: InMemoryPrecedent) -> None:
    """Every option becomes its field, and the event shows it."""
    done = run(
        known, "outcome", "b", "benign", "--mitigation", "none", "--note", "a test", "--by", "ana", "--at", "2026-01-02"
    )
    assert (done.code, done.out) == (0, "stored the outcome of b in incidents at 5\n")
    assert stored(known, "b").outcome == Outcome(
        event_id="b",
        verdict=Verdict.BENIGN,
        mitigation="none",
        note="a test",
        by="ana",
        decided_at=datetime(2026, 1, 2, tzinfo=UTC),
    )


def test_search_shows_hits_their_summary_and_how_much_it_stands_on(known: InMemoryPrecedent) -> None:
    """People see similarity, event, outcome and summary; programs the whole reply."""
    shown = run(known, "search", "many failed logins", "--min-similarity", "0.9").out
    for part in ("1.00", "auth.brute_force", "203.0.113.7", "block ip", "decisions: 1 true positive", "4 of 4"):
        assert part in shown
    reply = run(known, "search", "many failed logins", "-k", "1", "--json").json()
    assert [hit["similarity"] for hit in reply["hits"]] == [1.0]
    assert reply["indexed_seq"] == 4


def test_search_may_be_about_an_event_and_wait_for_a_sequence(known: InMemoryPrecedent) -> None:
    """With --id that event itself is left out; a sequence that is still to come is waited for."""
    reply = run(known, "search", "--id", "a", "--min-seq", "4", "--json").json()
    assert [hit["event"]["id"] for hit in reply["hits"]] == ["b", "c"]
    assert run(known, "search", "x", "--min-seq", "99").code == 1


def test_an_answer_without_a_hit_says_so(known: InMemoryPrecedent) -> None:
    """Nothing similar is said together with how much of the log that covers."""
    shown = run(known, "search", "zebra", "--min-similarity", "0.9").out
    assert "nothing similar" in shown
    assert "indexed up to 4 of 4" in shown
    assert "nothing there" in run(known, "list", "--collection", "rules").out
    assert "nothing similar" in run(known, "recurrence", "zebra").out


@pytest.mark.parametrize(
    ("options", "passing"),
    [
        ([], "abc"),
        (["--kind", "auth"], "ab"),
        (["--kind", "scan", "--kind", "auth.mfa"], "bc"),
        (["--min-severity", "3"], "a"),
        (["--max-severity", "3"], "bc"),
        (["--min-severity", "1", "--max-severity", "5"], "abc"),
        (["--source", "sshd"], "a"),
        (["--user", "admin", "--user", "root"], "ac"),
        (["--ip", "203.0.113.7"], "a"),
        (["--network", "2001:db8::/32", "--network", "203.0.113.0/24"], "ab"),
        (["--after", "2026-01-02"], "bc"),
        (["--before", "2026-01-02T00:00:00Z"], "a"),
        (["--attribute", "port=22"], "a"),
        (["--attribute", 'port:="22"'], ""),
        (["--attribute", "port:=22"], "a"),
        (["--attribute", "port=21", "--attribute", "port=22"], "a"),
        (["--contains", "scan"], "c"),
        (["--verdict", "true_positive"], "a"),
        (["--exclude", "a", "--exclude", "b"], "c"),
    ],
    ids=" ".join,
)
def test_every_filter_option_filters(known: InMemoryPrecedent, options: list[str], passing: str) -> None:
    """The same options let the same events pass in list, search, recurrence and tail."""
    assert listed(run(known, "list", "--order", "oldest", *options, "--json")) == list(passing)
    found = run(known, "search", "anything", *options, "--json").json()["hits"]
    assert {hit["event"]["id"] for hit in found} == set(passing)
    counted = run(known, "recurrence", "anything", "--min-similarity", "-1", *options, "--json").json()
    assert counted["total"] == len(passing)
    if passing:
        assert listed(run(known, "tail", *options, "--count", str(len(passing)), "--json")) == list(passing)


def test_recurrence_counts_by_stretch_of_time(known: InMemoryPrecedent) -> None:
    """One row for each bucket, and the whole below."""
    shown = run(known, "recurrence", "--id", "a", "--bucket", "hour").out
    assert "2026-01-01 00:00:00Z" in shown
    assert "2 events by 1 user and 2 addresses" in shown


def test_get_shows_events_whole_and_names_what_is_missing(known: InMemoryPrecedent) -> None:
    """Every field, attribute and part of the outcome; exit code 3 when something is not there."""
    done = run(known, "get", "a", "nobody")
    assert done.code == 3
    for part in ("auth.brute_force", "203.0.113.7", "attribute port", "22", "outcome mitigation", "block ip"):
        assert part in done.out
    assert done.err == "not there: nobody\n"
    assert [one["event"]["id"] for one in run(known, "get", "b", "a", "--json").json()["events"]] == ["b", "a"]
    assert run(known, "get", "nobody").out == ""


def test_list_gives_as_many_as_are_asked_for(known: InMemoryPrecedent) -> None:
    """Newest first unless told otherwise, at most the limit, and all of them for 0."""
    assert listed(run(known, "list", "--json", "-n", "2")) == ["c", "b"]
    asyncio.run(known.publish_many(SecurityEvent(kind="x", text=f"event {n}") for n in range(1200)))
    assert len(run(known, "list", "--json").lines()) == 20
    assert len(run(known, "list", "--json", "--limit", "0").lines()) == 1203
    assert len(run(known, "list", "--json", "--limit", "1100").lines()) == 1100


def test_a_long_text_is_cut_in_a_table_alone(known: InMemoryPrecedent) -> None:
    """A list shows the beginning; get and JSON show all of it."""
    asyncio.run(given(known, {"id": "long", "text": "x" * 2000}))
    assert "(1600 more)" in run(known, "list").out
    assert run(known, "get", "long").out.count("x") >= 2000
    assert "x" * 2000 in run(known, "list", "--json").out


def test_stats_of_everything_and_of_one_collection(known: InMemoryPrecedent) -> None:
    """Counts, backlog and model."""
    shown = run(known, "stats").out
    for part in ("bag-of-words", "incidents", "rules", "dead letters"):
        assert part in shown
    assert run(known, "stats", "--json").json()["collections"]["incidents"] == {"count": 3}
    assert run(known, "stats", "-c", "incidents", "--json").json()["count"] == 3
    assert "indexed up to 4 of 4" in run(known, "stats", "-c", "incidents").out


def test_delete_asks_first(known: InMemoryPrecedent) -> None:
    """Without a yes nothing is deleted, and the question stays out of stdout."""
    done = run(known, "delete", "a", "--json", stdin="n\n")
    assert (done.code, done.out) == (1, "")
    assert "Delete 'a' of incidents" in done.err
    assert run(known, "delete", "a", stdin="").code == 1
    assert stored(known, "a")
    assert run(known, "delete", "a", "b", stdin="y\n").code == 0
    assert listed(run(known, "list", "--json")) == ["c"]


def test_delete_names_what_is_missing(known: InMemoryPrecedent) -> None:
    """With --yes nobody is asked; exit code 3 when something was not there."""
    done = run(known, "delete", "a", "nobody", "--yes")
    assert (done.code, done.out) == (3, "deleted 1 of incidents; not there: nobody\n")
    assert run(known, "delete", "b", "-y", "--json").json() == {"deleted": ["b"], "missing": []}


def test_dead_letters_are_listed_shown_replayed_and_dropped(known: InMemoryPrecedent) -> None:
    """Every verb, and what is not there named with exit code 3."""
    first = known.publish_raw("security.events.v1.incidents.x", b'{"text": 3}')
    second = known.publish_raw("security.events.v1.incidents.x", b"\xff\x1b[2J", {"traceparent": "00-ab"})
    shown = run(known, "dead-letters", "list").out
    assert "malformed" in shown
    assert "Input should be a valid string" in shown
    letters = run(known, "dead-letters", "list", "--json").lines()
    assert [one["seq"] for one in letters] == [second, first]
    assert len(run(known, "dead-letters", "list", "-n", "1", "--json").lines()) == 1
    whole = run(known, "dead-letters", "show", str(second)).out
    assert "\\xff\\x1b[2J" in whole
    assert "header traceparent" in whole
    replayed = run(known, "dead-letters", "replay", str(first))
    assert f"published anew at {second + 1}" in replayed.out
    done = run(known, "dead-letters", "drop", str(second), "999")
    assert (done.code, done.out, done.err) == (3, "dropped 1\n", "not there: 999\n")
    assert run(known, "dead-letters", "show", str(second)).code == 3
    run(known, "dead-letters", "drop", str(second + 1))
    assert "no dead letters" in run(known, "dead-letters", "list").out


def test_a_replay_that_would_take_back_a_later_revision_is_refused(known: InMemoryPrecedent) -> None:
    """It is left alone with exit code 3, unless it is forced."""
    dead = known.publish_raw("security.events.v1.incidents.x", b'{"text": 3, "id": "a"}')
    asyncio.run(given(known, {"id": "a"}))
    done = run(known, "dead-letters", "replay", str(dead))
    assert done.code == 3
    assert "later revision" in done.out
    assert run(known, "dead-letters", "replay", str(dead), "--force").code == 0


def test_connection_options_reach_the_connection(known: InMemoryPrecedent) -> None:
    """Both are handed over as given; absent they are absent."""
    assert run(known, "stats").asked == [(None, None)]
    assert run(known, "stats", "--server", "nats://x:1", "--context", "lab").asked == [("nats://x:1", "lab")]
