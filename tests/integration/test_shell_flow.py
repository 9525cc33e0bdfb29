"""What works from a shell with the `nats` command alone."""

from harness.wire import Wire

SUBJECT = "security.events.v1.incidents.auth.brute_force"
TEXT = "5000 failed logins for admin in 30 s"


async def test_an_event_of_one_field_is_found_with_every_default(wire: Wire) -> None:
    """Only the text must be there: id, time, severity and the rest are as the contract says."""
    seq = await wire.publish(SUBJECT, b'{"text": "5000 failed logins for admin in 30 s"}')
    reply = await wire.ask("security.index.v1.incidents.search", {"text": TEXT, "min_seq": seq})
    hit = next(hit for hit in reply["hits"] if hit["seq"] == seq)
    log_entry = await wire.stored(seq)
    assert log_entry is not None
    whole, _, fraction = log_entry.stored_at.rstrip("Z").partition(".")
    assert hit["event"] == {
        "id": f"seq-{seq}",
        "collection": "incidents",
        "kind": "auth.brute_force",
        "text": TEXT,
        "occurred_at": f"{whole}.{fraction.ljust(3, '0')[:3]}Z",
        "severity": 1,
        "source": None,
        "user": None,
        "ip": None,
        "attributes": {},
    }
    assert hit["outcome"] is None


async def test_the_answer_says_how_much_of_the_log_it_covers(wire: Wire, collection: str) -> None:
    """A search without anything similar still tells coverage and model."""
    seq = await wire.event(collection, "a disk is full")
    reply = await wire.search(collection, text="password guessing", min_similarity=0.99, min_seq=seq)
    assert reply["hits"] == []
    assert reply["summary"] == {"verdicts": {}, "mitigations": {}, "first_seen": None, "last_seen": None}
    assert seq <= reply["indexed_seq"] <= reply["stream_seq"]
    assert reply["model"]["name"]
    assert reply["model"]["fingerprint"]


async def test_a_search_gives_the_five_best_first_unless_told_otherwise(wire: Wire, collection: str) -> None:
    """Five hits is the default, and the order is that of similarity."""
    for number in range(7):
        seq = await wire.event(collection, f"SQL injection attempt {number} on /login", id=f"e{number}")
    reply = await wire.search(collection, text="SQL injection attempt 3 on /login", min_seq=seq)
    similarities = [hit["similarity"] for hit in reply["hits"]]
    assert len(similarities) == 5
    assert similarities == sorted(similarities, reverse=True)
    assert reply["hits"][0]["event"]["id"] == "e3"
    assert len(await wire.found(collection, text="SQL injection", k=1000)) == 7


async def test_more_like_an_event_leaves_that_event_out(wire: Wire, collection: str) -> None:
    """A search by id finds its neighbours and never itself."""
    for name in ("a", "b", "c"):
        seq = await wire.event(collection, "port scan of the database subnet", id=name)
    assert set(await wire.found(collection, id="a", min_seq=seq)) == {"b", "c"}
    assert len(await wire.found(collection, id="a", k=1)) == 1


async def test_a_repeated_delivery_is_dropped_by_the_log(wire: Wire, collection: str) -> None:
    """Two publishes with one Nats-Msg-Id are one event; two without are two."""
    subject = f"security.events.v1.{collection}.auth"
    headers = {"Nats-Msg-Id": f"{collection}:a:0123456789abcdef0123456789abcdef"}
    first = await wire.publish(subject, {"text": TEXT}, headers)
    assert await wire.publish(subject, {"text": TEXT}, headers) == first
    await wire.publish(subject, {"text": TEXT})
    await wire.covered(await wire.publish(subject, {"text": TEXT}))
    assert (await wire.of(collection, "stats"))["count"] == 3
