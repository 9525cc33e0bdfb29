"""What fits one reply, and what is said of what does not."""

from datetime import UTC, datetime, timedelta

import pytest

from fakes.making import event, outcome
from precedent_indexer.api.paging import Page, encoded, room_of
from precedent_indexer.api.search import summary_of
from precedent_indexer.errors import QuestionFailed
from precedent_schemas import answers, codec
from precedent_schemas.questions import GetRequest, RecurrenceRequest, SearchRequest

COVERAGE = answers.Coverage(indexed_seq=9, stream_seq=9, model=answers.ModelRef(name="m", fingerprint="f"))


def got(asked: list[str], texts: dict[str, str]) -> answers.GetReply:
    """The reply to `get` of `asked` from an index with these events."""
    return answers.GetReply(
        **dict(COVERAGE),
        events=[answers.Entry(event=event(one, text=texts[one]), seq=1) for one in asked if one in texts],
        missing=[one for one in asked if one not in texts],
    )


@pytest.mark.parametrize("text", ["x" * 100, "🚨" * 500])
@pytest.mark.parametrize("every", [1, 2, 50])
def test_a_get_too_large_names_how_many_of_its_ids_fit(text: str, every: int) -> None:
    """So many of the ids asked for fit, and one more does not, also where most of them are missing."""
    max_payload = 20_000
    asked = [f"id-{number}-{'y' * 100}" for number in range(1000)]
    texts = {one: text for number, one in enumerate(asked) if number % every == 0}
    with pytest.raises(QuestionFailed, match="ask for at most") as refusal:
        encoded(got(asked, texts), GetRequest(ids=asked), max_payload)
    fits = int(refusal.value.message.rpartition("at most ")[2].split()[0])
    assert 0 < fits < 1000
    assert len(encoded(got(asked[:fits], texts), GetRequest(ids=asked[:fits]), max_payload)) < room_of(max_payload)
    with pytest.raises(QuestionFailed):
        encoded(got(asked[: fits + 1], texts), GetRequest(ids=asked[: fits + 1]), max_payload)


def found(count: int) -> answers.SearchReply:
    """The reply to `search` that found so many events, each decided in another way."""
    hits = [
        answers.Hit(
            event=event(f"id-{n}"), seq=n, outcome=outcome(f"id-{n}", mitigation=f"{n} " + "m" * 90), similarity=1
        )
        for n in range(1, count + 1)
    ]
    return answers.SearchReply(**dict(COVERAGE), hits=hits, summary=summary_of(hits))


def test_a_search_too_large_names_the_largest_k_that_fits() -> None:
    """So many hits fit with the summary of just these, and one more does not."""
    max_payload = 20_000
    with pytest.raises(QuestionFailed, match=r"ask for at most \d+ hits") as refusal:
        encoded(found(200), SearchRequest(text="a", k=200), max_payload)
    k = int(refusal.value.message.rpartition("at most ")[2].split()[0])
    assert len(encoded(found(k), SearchRequest(text="a", k=k), max_payload)) < room_of(max_payload)
    with pytest.raises(QuestionFailed):
        encoded(found(k + 1), SearchRequest(text="a", k=k + 1), max_payload)


def test_a_reply_without_parts_is_not_to_be_asked_for_in_fewer() -> None:
    """Buckets cannot be asked for by number: a narrower question is the remedy."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    buckets = [answers.BucketCount(start=first + timedelta(minutes=n), count=1, users=0, ips=0) for n in range(999)]
    reply = answers.RecurrenceReply(**dict(COVERAGE), total=999, capped=False, buckets=buckets, users=0, ips=0)
    with pytest.raises(QuestionFailed, match="narrower filter or a wider bucket"):
        encoded(reply, RecurrenceRequest(text="a", bucket="minute"), 8_000)


def test_one_event_that_no_reply_can_hold_is_told_with_its_remedy() -> None:
    """Nobody is told to ask for zero ids: the server's limit is what would have to change."""
    with pytest.raises(QuestionFailed, match=r"the first of them alone is too large: raise the server's max_payload"):
        encoded(got(["a"], {"a": "x" * 9_000}), GetRequest(ids=["a"]), 8_000)


def test_what_fits_is_sent_as_it_is() -> None:
    """A reply below the limit is its own encoding."""
    reply = got(["a"], {"a": "x"})
    assert encoded(reply, GetRequest(ids=["a"]), 8_000) == codec.encode(reply)


def test_a_page_always_takes_its_first_entry() -> None:
    """However little room there is, a listing goes on."""
    page = Page(4_096)
    assert not page.could_hold(4_096)
    assert page.take(4_096)
    assert not page.take(1)
