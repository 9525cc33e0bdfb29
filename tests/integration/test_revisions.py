"""Revisions of an event, and the outcomes that are shown with it."""

from typing import Any

from harness.wire import Wire

FULL: dict[str, Any] = {
    "occurred_at": "2026-01-31T13:00:00.123456+01:00",
    "severity": 5,
    "source": "sshd",
    "user": "admin",
    "ip": "::ffff:192.0.2.7",
    "attributes": {"port": 22, "ratio": 1.5, "tor": True, "tags": ["x", "y"], "none": []},
}


async def test_every_field_comes_back_normalised(wire: Wire, collection: str) -> None:
    """Times in UTC to the millisecond, addresses in their one spelling, attributes as given."""
    seq = await wire.event(collection, "  brute force\n", kind="auth.brute_force.ssh", id="a", **FULL)
    await wire.covered(seq)
    entry = await wire.entry(collection, "a")
    assert entry["event"] == {
        **FULL,
        "id": "a",
        "collection": collection,
        "kind": "auth.brute_force.ssh",
        "text": "brute force",
        "occurred_at": "2026-01-31T12:00:00.123Z",
        "ip": "192.0.2.7",
    }
    assert entry["seq"] == seq


async def test_a_later_revision_replaces_the_event_wholly(wire: Wire, collection: str) -> None:
    """The later one wins, a field that it lacks is gone, and no filter finds what the earlier one said."""
    await wire.event(collection, "brute force", kind="auth.brute_force", id="a", **FULL)
    seq = await wire.event(collection, "port scan", kind="net", id="a")
    await wire.covered(seq)
    entry = await wire.entry(collection, "a")
    assert entry["seq"] == seq
    event = entry["event"]
    assert (event["text"], event["kind"], event["severity"]) == ("port scan", "net", 1)
    assert (event["source"], event["user"], event["ip"], event["attributes"]) == (None, None, None, {})
    assert event["occurred_at"] != "2026-01-31T12:00:00.123Z"
    assert (await wire.of(collection, "stats"))["count"] == 1
    stale = [
        {"kinds": ["auth"]},
        {"severity": {"min": 2}},
        {"sources": ["sshd"]},
        {"users": ["admin"]},
        {"ips": ["192.0.2.7"]},
        {"networks": ["192.0.2.0/24"]},
        {"attributes": {"port": 22}},
        {"attributes": {"tags": "x"}},
        {"occurred_at": {"before": "2026-02-01T00:00:00Z"}},
        {"contains": "brute"},
    ]
    for wanted in stale:
        assert await wire.listed(collection, filter=wanted) == [], wanted
        assert await wire.found(collection, text="brute force", filter=wanted) == [], wanted
    assert (await wire.search(collection, text="port scan"))["hits"][0]["similarity"] > 0.99


async def test_many_revisions_in_one_breath_leave_the_last(wire: Wire, collection: str) -> None:
    """Revisions that come together are one event: that with the latest sequence."""
    for number in range(20):
        seq = await wire.event(collection, f"revision {number}", id="a", severity=1 + number % 5)
    await wire.covered(seq)
    entry = await wire.entry(collection, "a")
    assert (entry["event"]["text"], entry["seq"]) == ("revision 19", seq)
    assert await wire.listed(collection) == ["a"]


async def test_the_same_event_twice_changes_nothing(wire: Wire, collection: str) -> None:
    """Published a second time on purpose, it is still one event, equal in everything but its sequence."""
    await wire.covered(await wire.event(collection, "brute force", id="a", **FULL))
    before = await wire.entry(collection, "a")
    seq = await wire.event(collection, "brute force", id="a", **FULL)
    await wire.covered(seq)
    assert await wire.entry(collection, "a") == {**before, "seq": seq}
    assert (await wire.of(collection, "stats"))["count"] == 1


async def test_equal_texts_hide_no_event(wire: Wire, collection: str) -> None:
    """One text many times over: each of its events is found, and so is the odd one out."""
    await wire.event(collection, "the coffee machine is broken", id="odd")
    for number in range(60):
        seq = await wire.event(collection, "failed login for root", id=f"e{number}")
    found = await wire.found(collection, text="failed login for root", k=60, min_seq=seq)
    assert set(found) == {f"e{number}" for number in range(60)}
    assert await wire.found(collection, text="the coffee machine is broken", k=1) == ["odd"]


async def test_the_latest_outcome_is_shown_wherever_the_event_is(wire: Wire, collection: str) -> None:
    """Search, get and list show it, and the summary of a search counts it."""
    for name in ("a", "b"):
        await wire.event(
            collection, "failed login for root", id=name, occurred_at=f"2026-01-0{1 + (name == 'b')}T00:00:00Z"
        )
    await wire.outcome(collection, "a", "unknown", note="looking")
    await wire.outcome(collection, "b", "benign")
    seq = await wire.outcome(
        collection, "a", "true_positive", mitigation="block ip", by="ana", decided_at="2026-01-03T00:00:00Z"
    )
    reply = await wire.search(collection, text="failed login", min_seq=seq)
    outcome = {
        "event_id": "a",
        "verdict": "true_positive",
        "mitigation": "block ip",
        "note": None,
        "by": "ana",
        "decided_at": "2026-01-03T00:00:00.000Z",
    }
    shown = {hit["event"]["id"]: hit["outcome"] for hit in reply["hits"]}
    assert shown["a"] == outcome
    assert shown["b"]["verdict"] == "benign"
    assert (await wire.entry(collection, "a"))["outcome"] == outcome
    listed = await wire.of(collection, "list", order="oldest")
    assert listed["events"][0]["outcome"] == outcome
    assert reply["summary"] == {
        "verdicts": {"true_positive": 1, "benign": 1},
        "mitigations": {"block ip": 1},
        "first_seen": "2026-01-01T00:00:00.000Z",
        "last_seen": "2026-01-02T00:00:00.000Z",
    }


async def test_an_outcome_may_come_before_its_event(wire: Wire, collection: str) -> None:
    """It waits for the event, makes no event of its own, and loses to a later one."""
    await wire.event(collection, "something else", id="other")
    await wire.outcome(collection, "a", "unknown")
    await wire.covered(await wire.outcome(collection, "a", "false_positive"))
    assert (await wire.of(collection, "get", ids=["a"]))["missing"] == ["a"]
    await wire.covered(await wire.event(collection, "failed login", id="a"))
    assert (await wire.entry(collection, "a"))["outcome"]["verdict"] == "false_positive"
    assert await wire.listed(collection, filter={"verdicts": ["false_positive"]}) == ["a"]


async def test_an_outcome_outlives_a_revision_of_its_event(wire: Wire, collection: str) -> None:
    """A new revision keeps what was decided about the event."""
    await wire.event(collection, "failed login", id="a")
    await wire.outcome(collection, "a", "benign")
    await wire.covered(await wire.event(collection, "failed login, corrected", id="a"))
    entry = await wire.entry(collection, "a")
    assert (entry["event"]["text"], entry["outcome"]["verdict"]) == ("failed login, corrected", "benign")


async def test_an_outcome_without_a_time_has_that_of_the_log(wire: Wire, collection: str) -> None:
    """What the publisher leaves out is filled in from the log; an event without an id can be decided about."""
    event_seq = await wire.event(collection, "failed login")
    seq = await wire.outcome(collection, f"seq-{event_seq}", "benign")
    await wire.covered(seq)
    stored = await wire.stored(seq)
    assert stored is not None
    whole, _, fraction = stored.stored_at.rstrip("Z").partition(".")
    outcome = (await wire.entry(collection, f"seq-{event_seq}"))["outcome"]
    assert outcome["decided_at"] == f"{whole}.{fraction.ljust(3, '0')[:3]}Z"


async def test_two_collections_do_not_mix(wire: Wire, collection: str) -> None:
    """The same id and the same text live in both, each with its own fields and its own outcome."""
    other = collection + "-2"
    await wire.event(collection, "failed login", id="a", user="ana")
    await wire.event(other, "failed login", id="a", user="bob")
    seq = await wire.outcome(other, "a", "benign")
    await wire.covered(seq)
    first, second = await wire.entry(collection, "a"), await wire.entry(other, "a")
    assert (first["event"]["user"], first["outcome"]) == ("ana", None)
    assert (second["event"]["user"], second["outcome"]["verdict"]) == ("bob", "benign")
    assert len(await wire.found(collection, text="failed login")) == 1
    await wire.of(collection, "delete", ids=["a"])
    assert await wire.listed(other) == ["a"]
    await wire.of(other, "clear", confirm=other)
    await wire.covered(await wire.event(collection, "failed login", id="b"))
    assert await wire.listed(collection) == ["b"]
