"""What fits one reply, and what is said of what does not."""

import pytest

from fakes.making import event
from precedent_indexer.errors import QuestionFailed
from precedent_indexer.fitting import Page, encoded, room_of
from precedent_schemas import answers, codec
from precedent_schemas.questions import GetRequest

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


def test_one_event_that_no_reply_can_hold_is_told_with_its_remedy() -> None:
    """Nobody is told to ask for zero ids: the server's limit is what would have to change."""
    with pytest.raises(QuestionFailed, match=r"the first of them alone has .*raise the server's max_payload"):
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
