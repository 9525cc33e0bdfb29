"""Who acknowledges a publish: the stream that is meant, in its own domain, whoever else answers."""

import json
from typing import Any

import pytest

from precedent_indexer.adapters.nats.replies import AwaitedAck, api_prefix
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, JetStreamRefused

EVENT = "security.events.v1.incidents.auth"
FULL = {"code": 503, "err_code": 10077, "description": "maximum messages exceeded"}


def answer(stream: str, seq: int = 0, domain: str | None = None, error: dict[str, Any] | None = None) -> Packet:
    """One answer of a stream, as the server words it."""
    body: dict[str, Any] = {"stream": stream, "seq": seq}
    if domain is not None:
        body["domain"] = domain
    if error is not None:
        body["error"] = error
    return Packet("_INBOX.1", "", json.dumps(body).encode(), {})


def taken(wanted: AwaitedAck, *answers: Packet) -> list[bool]:
    """Whether each answer was the last one waited for."""
    return [wanted.take(one) for one in answers]


OURS = answer("SECURITY_EVENTS", 7, "hub")
LEAFS = answer("SECURITY_EVENTS", 1, "leaf")
AUDIT = answer("AUDIT", 3, "leaf")
LEAF_IS_FULL = answer("SECURITY_EVENTS", error=FULL)


@pytest.mark.parametrize(
    "others", [[], [LEAFS], [AUDIT], [AUDIT, LEAFS, LEAF_IS_FULL], [Packet("_INBOX.1", "", b"no JSON", {})]]
)
def test_the_stream_that_is_meant_is_waited_for(others: list[Packet]) -> None:
    """A stream of another name, of another domain, a refusal without a domain, and what is no answer do not count."""
    wanted = AwaitedAck(EVENT, "hub")
    assert taken(wanted, *others, OURS) == [False] * len(others) + [True]
    assert wanted.result().seq == 7


def test_others_alone_are_an_unknown_fate_that_names_them() -> None:
    """It may be stored all the same; the message says who answered, and which setting to look at."""
    wanted = AwaitedAck(EVENT, "hub")
    assert not any(taken(wanted, LEAFS, AUDIT))
    with pytest.raises(BusUnavailable, match="PRECEDENT_JETSTREAM_DOMAIN") as unknown:
        wanted.result()
    assert "stream AUDIT of JetStream domain leaf stored it as 3" in str(unknown.value)


def test_a_refusal_is_the_last_word_where_nothing_follows_it() -> None:
    """And not where it comes from a stream of another name."""
    wanted = AwaitedAck(EVENT, "hub")
    assert not any(taken(wanted, LEAF_IS_FULL))
    with pytest.raises(JetStreamRefused) as refused:
        wanted.result()
    assert refused.value.err_code == 10077
    foreign = AwaitedAck(EVENT, "hub")
    assert not any(taken(foreign, answer("AUDIT", error=FULL)))
    with pytest.raises(BusUnavailable) as unknown:
        foreign.result()
    assert not isinstance(unknown.value, JetStreamRefused)


@pytest.mark.parametrize(("domain", "is_last"), [("", False), (None, True), ("hub", True), ("leaf", False)])
def test_the_domain_counts_where_it_is_known(domain: str | None, is_last: bool) -> None:
    """No name is a domain as well; not known is only a server without JetStream."""
    assert taken(AwaitedAck(EVENT, domain), OURS) == [is_last]


def test_nobody_listens() -> None:
    """Without a stream the server says so at once."""
    wanted = AwaitedAck(EVENT, "")
    assert taken(wanted, Packet("_INBOX.1", "", b"", {"Status": "503"})) == [True]
    with pytest.raises(BusUnavailable, match="JetStream is off"):
        wanted.result()


def test_the_api_of_a_domain() -> None:
    """Leaf nodes carry requests by this prefix to the domain that it names."""
    assert (api_prefix("hub"), api_prefix(None), api_prefix("")) == ("$JS.hub.API", "$JS.API", "$JS.API")
