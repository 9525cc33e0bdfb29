"""The old client's methods: what they give back, and what the log then holds."""

import inspect
from datetime import UTC, datetime

import pytest

from precedent_backend_adapter import (
    RULES,
    Filter,
    NotDelivered,
    NotDeliveredReason,
    NotIndexedYet,
    Overloaded,
    Refused,
    SecurityEvent,
    TooLarge,
    Unavailable,
)
from precedent_backend_adapter import compat as old
from precedent_backend_adapter.compat import KIND, RULE_KIND, SimpleRAG, _simple_rag
from precedent_backend_adapter.testing import InMemoryPrecedent, similarity

TEXT = "5000 failed logins for admin in 30 s"


@pytest.fixture
def precedent() -> InMemoryPrecedent:
    """What the old client speaks to."""
    return InMemoryPrecedent()


@pytest.fixture
def client(precedent: InMemoryPrecedent) -> SimpleRAG:
    """The old client."""
    return SimpleRAG.over(precedent)


# -- items


async def test_an_item_comes_back_as_it_was_given(client: SimpleRAG) -> None:
    """Text, arguments and the caller's own keys are there, beside an id, a time and a distance."""
    before = datetime.now(UTC).replace(tzinfo=None)
    item_id = await client.add_item(TEXT, "admin", "203.0.113.7", 5, {"rule": "r1", "tags": ["a", 1], "none": None})
    (item,) = await client.query_items(TEXT)
    timestamp = item["metadata"].pop("timestamp")
    assert item == {
        "id": item_id,
        "text": TEXT,
        "score": 0.0,
        "metadata": {"user": "admin", "ip": "203.0.113.7", "severity": 5, "rule": "r1", "tags": "['a', 1]"},
    }
    assert abs((datetime.fromisoformat(timestamp) - before).total_seconds()) < 60
    (listed,) = await client.get_all_items()
    assert listed == {"id": item_id, "text": TEXT, "metadata": item["metadata"] | {"timestamp": timestamp}}


async def test_the_log_has_an_ordinary_event(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """Whoever speaks to Precedent sees what the old client added, with nothing in it of the old client."""
    item_id = await client.add_item(TEXT, "admin", "203.0.113.7", 5, {"rule": "r1"})
    event = (await precedent.get([item_id])).events[0].event
    assert (event.kind, event.text, event.user, event.ip, event.severity) == (KIND, TEXT, "admin", "203.0.113.7", 5)
    assert event.attributes == {"rule": "r1"}


async def test_the_score_is_the_old_distance(client: SimpleRAG) -> None:
    """Squared L2 of unit vectors: twice what the cosine lacks to 1; the nearest comes first."""
    for text in ("disk full on db1", "failed login for bob", "failed login for admin"):
        await client.add_item(text, "u", "10.0.0.1", 1)
    items = await client.query_items("failed login for admin", k=3)
    assert [item["text"] for item in items] == ["failed login for admin", "failed login for bob", "disk full on db1"]
    wanted = [2 * (1 - similarity("failed login for admin", item["text"])) for item in items]
    assert [item["score"] for item in items] == pytest.approx(wanted)
    assert items[2]["score"] == 2.0


async def test_two_identical_calls_are_two_items(client: SimpleRAG) -> None:
    """Nothing is taken for a repetition."""
    ids = {await client.add_item(TEXT, "admin", "203.0.113.7", 5) for _ in range(2)}
    assert len(ids) == 2
    assert {item["id"] for item in await client.query_items(TEXT)} == ids
    assert (await client.get_stats())["total_items"] == 2


async def test_five_items_come_unless_told_otherwise_and_never_more_than_there_are(client: SimpleRAG) -> None:
    """The default is the old one, and a large `k` is no error."""
    for number in range(7):
        await client.add_item(f"{TEXT} {number}", "u", "10.0.0.1", 1)
    assert len(await client.query_items(TEXT)) == 5
    assert len(await client.query_items(TEXT, 2)) == 2
    assert len(await client.query_items(TEXT, 100_000)) == 7


async def test_a_delete_removes_and_says_whether_it_was_there(client: SimpleRAG) -> None:
    """What is gone is gone; an unknown id, and one that no event can have, are no errors."""
    kept = await client.add_item(TEXT, "u", "10.0.0.1", 1)
    gone = await client.add_item(TEXT, "u", "10.0.0.1", 1)
    assert await client.delete_item(gone) is True
    assert [item["id"] for item in await client.get_all_items()] == [kept]
    assert await client.delete_item(gone) is False
    assert await client.delete_item("no id!") is False
    assert await client.delete_item("") is False


async def test_all_items_come_page_by_page_in_the_order_of_the_log(
    client: SimpleRAG, precedent: InMemoryPrecedent
) -> None:
    """More than one page holds is all there, oldest first."""
    ids = [(await precedent.publish(SecurityEvent(kind="auth", text="x"))).id for _ in range(1_005)]
    assert [item["id"] for item in await client.get_all_items()] == ids


async def test_clear_removes_the_items_and_no_rule(client: SimpleRAG, monkeypatch: pytest.MonkeyPatch) -> None:
    """Afterwards nothing is found; what people decided stays."""
    await client.add_item(TEXT, "u", "10.0.0.1", 1)
    await client.add_rule("block", "block brute force")
    monkeypatch.setenv("PRECEDENT_COMPAT_ALLOW_CLEAR", "1")
    assert await client.clear_all() is True
    assert await client.query_items(TEXT) == []
    assert await client.get_stats() == {"total_items": 0, "collection_name": "incidents"}
    assert len(await client.get_rules()) == 1


async def test_clear_is_refused_unless_it_is_allowed(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """The refusal counts what would go, also of others; the constructor allows it, as the environment does."""
    await client.add_item(TEXT, "u", "10.0.0.1", 1)
    await precedent.publish(SecurityEvent(kind="auth", text="x"))
    await precedent.publish(SecurityEvent(kind="waf.alert", text="x"))
    for refused in (client.clear_all, SimpleRAG.over(precedent).clear_all):
        with pytest.raises(Refused, match=r"all 3 events .* 2 are of other publishers .*ALLOW_CLEAR=1"):
            await refused()
    assert (await precedent.collection_stats()).count == 3
    assert await SimpleRAG.over(precedent, allow_clear=True).clear_all() is True
    assert (await precedent.collection_stats()).count == 0


async def test_events_of_other_publishers_have_the_old_shape(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """What the old client never wrote is shown with every key that its callers rely on."""
    event = SecurityEvent(
        kind="auth",
        text="x",
        id="e1",
        user="bob",
        occurred_at=datetime(2026, 1, 31, 13, tzinfo=UTC),
        attributes={"ports": [22, 80], "user": "alice", "compat.rest": "not ours", "timestamp": "then"},
    )
    await precedent.publish(event)
    assert await client.get_all_items() == [
        {
            "id": "e1",
            "text": "x",
            "metadata": {
                "user": "bob",
                "ip": "",
                "severity": 1,
                "timestamp": "2026-01-31T13:00:00.000",
                "ports": "[22, 80]",
                "compat.rest": "not ours",
            },
        }
    ]


async def test_answers_that_do_not_fit_one_message_come_in_parts(
    client: SimpleRAG, precedent: InMemoryPrecedent
) -> None:
    """Where the indexer says that it is too much at once, less is asked for until all have come."""
    ids = [await client.add_item(f"{TEXT} {number}", "u", "10.0.0.1", 1) for number in range(8)]
    for _ in range(2):
        precedent.fail_next(TooLarge("at most 2 fit"))
    assert sorted(item["id"] for item in await client.query_items(TEXT, 8)) == sorted(ids)
    for _ in range(4):
        precedent.fail_next(TooLarge("none fits"))
    with pytest.raises(TooLarge):
        await client.query_items(TEXT, 8)


# -- rules


async def test_a_rule_comes_back_as_it_was_given(client: SimpleRAG) -> None:
    """All that was said of it is there, with the similarity that it always had: 1 - distance."""
    rule_id = await client.add_rule(
        "block it", "Block 100 failed logins", "auth", "high", "rule-1", "2026-01-31T12:00:00"
    )
    assert rule_id == "rule-1"
    rule = {
        "id": "rule-1",
        "original_text": "block it",
        "refined_text": "Block 100 failed logins",
        "category": "auth",
        "severity": "high",
        "timestamp": "2026-01-31T12:00:00",
    }
    assert await client.get_rules() == [rule]
    assert await client.query_rules("Block 100 failed logins") == [rule | {"similarity_score": 1.0}]
    assert (await client.query_rules("nothing in common"))[0]["similarity_score"] == -1.0


async def test_the_log_has_a_rule_as_anyone_would_publish_it(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """The refined text is the text; the label is kept in words and counted as a number; the time is the event's."""
    await client.add_rule("block it", "Block 100 failed logins", "auth", "High", timestamp="2026-01-31T12:00:00+01:00")
    (entry,) = (await precedent.list_page(collection=RULES)).events
    event = entry.event
    assert (event.kind, event.text, event.severity) == (RULE_KIND, "Block 100 failed logins", 4)
    assert event.occurred_at == datetime(2026, 1, 31, 11, tzinfo=UTC)
    assert event.attributes == {
        "original_text": "block it",
        "category": "auth",
        "severity_label": "High",
        "timestamp": "2026-01-31T12:00:00+01:00",
    }


async def test_rules_of_other_publishers_have_the_old_shape(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """What was left out is as the old service filled it in; the label is the severity in words."""
    moment = datetime(2026, 1, 31, tzinfo=UTC)
    event = SecurityEvent(collection=RULES, kind="policy", text="No root", id="r", severity=5, occurred_at=moment)
    await precedent.publish(event)
    assert await client.get_rules() == [
        {
            "id": "r",
            "original_text": "",
            "refined_text": "No root",
            "category": "general",
            "severity": "critical",
            "timestamp": "2026-01-31T00:00:00.000",
        }
    ]


async def test_rules_are_asked_for_by_category(client: SimpleRAG) -> None:
    """A category narrows the answer; none, or an empty one, does not."""
    for category in ("auth", "network"):
        await client.add_rule("o", "block brute force", category)
    assert [rule["category"] for rule in await client.query_rules("block", category="auth")] == ["auth"]
    assert await client.query_rules("block", category="disk") == []
    assert len(await client.query_rules("block")) == len(await client.query_rules("block", category="")) == 2
    assert len(await client.query_rules("block", k=1)) == 1


async def test_a_rule_is_deleted_or_was_not_there(client: SimpleRAG) -> None:
    """As items; and an item of that id is not touched."""
    item_id = await client.add_item(TEXT, "u", "10.0.0.1", 1)
    rule_id = await client.add_rule("o", "block brute force")
    assert await client.delete_rule(item_id) is False
    assert await client.delete_rule(rule_id) is True
    assert await client.delete_rule(rule_id) is False
    assert await client.get_rules() == []
    assert (await client.get_stats())["total_items"] == 1


async def test_a_rule_added_under_an_id_that_is_there_replaces_it(client: SimpleRAG) -> None:
    """One id is one rule."""
    await client.add_rule("o", "first", rule_id="r")
    await client.add_rule("o", "second", rule_id="r", timestamp="long ago")
    rules = await client.get_rules()
    assert [(rule["refined_text"], rule["timestamp"]) for rule in rules] == [("second", "long ago")]
    with pytest.raises(Refused, match="id"):
        await client.add_rule("o", "third", rule_id="seq-1")


# -- failures


async def test_what_is_not_in_the_log_is_an_error(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """A failed publish raises what the adapter raises, without a word about an id."""
    precedent.fill_log()
    with pytest.raises(NotDelivered) as caught:
        await client.add_item(TEXT, "u", "10.0.0.1", 1)
    assert not hasattr(caught.value, "__notes__")


async def test_what_is_in_the_log_but_not_found_yet_is_named(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """The error after the acknowledgement carries the id, so that nobody adds the item twice."""
    send = precedent._send

    async def send_and_fail_next(publication: object) -> object:
        receipt = await send(publication)  # type: ignore[arg-type]
        precedent.fail_next(NotIndexedYet("later"))
        return receipt

    precedent._send = send_and_fail_next  # type: ignore[method-assign, assignment]
    with pytest.raises(NotIndexedYet) as caught:
        await client.add_item(TEXT, "u", "10.0.0.1", 1)
    (item,) = await client.get_all_items()
    assert item["id"] in caught.value.__notes__[0]


async def test_an_overloaded_indexer_is_asked_again(
    client: SimpleRAG, precedent: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for an item to be found outlasts a busy moment; a busy half minute is an error."""
    monkeypatch.setattr(_simple_rag, "_PAUSE_S", 0)
    search, asked = precedent.search, 0

    async def busy(*args: object, **options: object) -> object:
        nonlocal asked
        asked += 1
        if asked % 3:
            raise Overloaded("later")
        return await search(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(precedent, "search", busy)
    await client.add_item(TEXT, "u", "10.0.0.1", 1)
    assert asked == 3
    monkeypatch.setattr(_simple_rag, "_PATIENCE_S", 0)
    with pytest.raises(Overloaded):
        await client.add_item(TEXT, "u", "10.0.0.1", 1)


async def test_an_item_that_somebody_deletes_at_once_was_added(
    client: SimpleRAG, precedent: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was reached and is gone: no error of this call."""
    search = precedent.search

    async def too_late(*args: object, **options: object) -> object:
        await precedent.delete([str(options["id"])])
        return await search(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(precedent, "search", too_late)
    assert await client.add_item(TEXT, "u", "10.0.0.1", 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.query_items(TEXT),
        lambda client: client.get_all_items(),
        lambda client: client.delete_item("a"),
        lambda client: client.get_stats(),
        lambda client: client.clear_all(),
        lambda client: client.query_rules(TEXT),
        lambda client: client.get_rules(),
        lambda client: client.delete_rule("a"),
    ],
)
async def test_no_failure_hides_in_a_result(client: SimpleRAG, precedent: InMemoryPrecedent, call: object) -> None:
    """Where there is no answer there is an exception: no False, no empty list."""
    precedent.fail_next(Unavailable("nobody there"))
    with pytest.raises(Unavailable):
        await call(client)  # type: ignore[operator]


async def test_what_is_too_large_for_the_log_is_refused_and_not_cut(client: SimpleRAG) -> None:
    """A text that does not fit even when packed is named as too large; nothing of it is stored."""
    with pytest.raises(NotDelivered) as caught:
        await client.add_item(" ".join(str(number**7) for number in range(60_000)), "u", "10.0.0.1", 1)
    assert caught.value.reason is NotDeliveredReason.TOO_LARGE
    with pytest.raises(Refused, match="at most"):
        await client.add_item("x" * 17 * 2**20, "u", "10.0.0.1", 1)
    assert await client.get_all_items() == []


async def test_a_text_that_is_no_string_is_refused(client: SimpleRAG) -> None:
    """As the old service did."""
    with pytest.raises(Refused, match="text: should be a string"):
        await client.add_item(None, "u", "10.0.0.1", 1)  # type: ignore[arg-type]


# -- the functions


async def test_the_functions_are_the_methods_of_one_shared_client(
    client: SimpleRAG, precedent: InMemoryPrecedent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each does what its method does, in its own order of arguments."""
    monkeypatch.setattr(old, "rag", client)
    monkeypatch.setenv("PRECEDENT_COMPAT_ALLOW_CLEAR", "1")
    first = await old.add_security_incident(TEXT, "admin", "203.0.113.7", 5, {"rule": "r1"})
    second = await old.add_incident_from_csv("bob", "10.0.0.1", 2, "disk full")
    items = {item["id"]: item for item in await old.get_all_flagged_items()}
    assert (items[first]["text"], items[first]["metadata"]["rule"]) == (TEXT, "r1")
    assert (items[second]["text"], items[second]["metadata"]["user"]) == ("disk full", "bob")
    assert (items[second]["metadata"]["ip"], items[second]["metadata"]["severity"]) == ("10.0.0.1", 2)
    assert [item["id"] for item in await old.query_similar_items("disk full", k=1)] == [second]
    assert len(await old.query_similar_items("disk full")) == 2
    assert await old.get_rag_stats() == {"total_items": 2, "collection_name": "incidents"}
    assert await old.clear_all_incidents() is True
    assert (await precedent.collection_stats()).count == 0
    await old.close()


def test_arguments_have_their_old_names_and_order() -> None:
    """Calls by position and by keyword go on working."""
    arguments = {
        "add_item": ["reasoning", "user", "ip", "severity", "metadata"],
        "query_items": ["query_text", "k"],
        "get_all_items": [],
        "delete_item": ["item_id"],
        "get_stats": [],
        "clear_all": [],
        "query_rules": ["query_text", "k", "category"],
        "get_rules": [],
        "delete_rule": ["rule_id"],
    }
    assert {name: list(inspect.signature(getattr(SimpleRAG, name)).parameters)[1:] for name in arguments} == arguments


async def test_a_filter_of_the_new_client_finds_odd_values(client: SimpleRAG, precedent: InMemoryPrecedent) -> None:
    """An odd value is an attribute of the field's name: it can be asked for."""
    item_id = await client.add_item(TEXT, "", "printer-7", 9)
    for wanted in ({"ip": "printer-7"}, {"severity": 9}, {"user": ""}):
        found = await precedent.search(TEXT, filter=Filter(attributes=dict(wanted)))
        assert [hit.event.id for hit in found.hits] == [item_id]
    assert (found.hits[0].event.user, found.hits[0].event.ip, found.hits[0].event.severity) == (None, None, 5)
