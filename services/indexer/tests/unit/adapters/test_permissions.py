"""What the credentials lack is found out before serving begins."""

import json

import pytest

from fakes.bus import FakeBus
from precedent_indexer.adapters.nats.provision.permissions import SHARED, check_permissions, denied
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, StartRefused

WHO = "$SYS.REQ.USER.INFO"


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.b.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.b.>", "a.b.c", True),
        ("*.b.>", "a.c.c", False),
    ],
)
def test_patterns_of_nats(pattern: str, subject: str, covered: bool) -> None:
    """A star is one token, and an arrow at the end is one or more."""
    assert (denied([subject], [pattern], []) == []) is covered
    assert (denied([subject], None, [pattern]) == [subject]) is covered


def test_no_list_allows_everything_and_an_empty_one_nothing() -> None:
    """As the server has it; what is denied is denied also where it is allowed."""
    assert denied(["a"], None, []) == []
    assert denied(["a"], [], []) == ["a"]
    assert denied(["a"], ["a"], [">"]) == ["a"]


def answering(**data: object) -> FakeBus:
    """A server that says this of us."""
    bus = FakeBus()
    bus.answer(WHO, Packet(WHO, "", json.dumps({"server": {}, "data": {"user": "u", **data}}).encode(), {}))
    return bus


async def test_a_server_that_permits_everything_is_fine() -> None:
    """Neither one without users, nor one whose users have no permissions, refuses a start."""
    await check_permissions(answering())
    await check_permissions(answering(permissions={"subscribe": {"allow": ["_INBOX.>"]}}))
    await check_permissions(answering(permissions={"publish": {"allow": [">"], "deny": ["other.>"]}}))


async def test_what_is_missing_is_listed() -> None:
    """Every subject, at once."""
    with pytest.raises(StartRefused) as caught:
        await check_permissions(answering(permissions={"publish": {"allow": ["$JS.>", "$SRV.>", "security.events.>"]}}))
    listed = [line.strip() for line in str(caught.value).splitlines() if line.startswith("  ")]
    assert listed == [
        "security.deletions.v1.incidents",
        "security.dead.v1._.malformed",
        "security.outcomes.v1.incidents",
    ]


async def test_what_replicas_need_beside_is_listed_too() -> None:
    """The lease, and the subject on which they hand on to the writer; one indexer by itself needs neither."""
    permitted = answering(
        permissions={"publish": {"allow": ["$JS.ACK.>", "$JS.API.*.*.>", "$SRV.>", "security.*.v1.>"]}}
    )
    lease = ["$KV.PRECEDENT_LEASES.indexer"]
    await check_permissions(permitted)
    with pytest.raises(StartRefused) as caught:
        await check_permissions(permitted, beside=SHARED)
    assert [line.strip() for line in str(caught.value).splitlines() if line.startswith("  ")] == lease


async def test_a_server_that_does_not_say_is_no_reason_to_stop() -> None:
    """It may be too old, or the question itself not permitted: what is denied is then named when it happens."""
    bus = FakeBus()
    bus.answer(WHO, BusUnavailable("no answer"))
    await check_permissions(bus)
