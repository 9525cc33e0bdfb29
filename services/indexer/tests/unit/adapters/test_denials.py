"""What the server refuses beside an operation ends the wait for its answer."""

import asyncio
from types import SimpleNamespace

import pytest

from precedent_indexer.adapters.nats.connection import denials as module
from precedent_indexer.adapters.nats.connection.denials import Denials
from precedent_indexer.errors import NotPermitted


def violation(operation: str, subject: str) -> Exception:
    """As the server says it."""
    return Exception(f'nats: Permissions Violation for {operation.capitalize()} to "{subject}"')


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the log says."""
    lines: list[str] = []
    monkeypatch.setattr(module, "log", SimpleNamespace(error=lambda _event, detail: lines.append(detail)))
    return lines


async def waiting(denials: Denials, subject: str) -> asyncio.Task[None]:
    """Something that waits for an answer on a subject, begun."""
    task = asyncio.create_task(denials.unless_denied(subject, asyncio.sleep(3600)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


async def test_the_one_that_is_denied_ends_and_no_other() -> None:
    """The subject decides, whatever its case; the message names it as it was asked."""
    denials = Denials("_INBOX_indexer")
    denied, other = await waiting(denials, "$JS.API.STREAM.INFO.S"), await waiting(denials, "$JS.API.INFO")
    assert denials.take(violation("publish", "$JS.API.STREAM.INFO.S"))
    with pytest.raises(NotPermitted, match=r"\$JS\.API\.STREAM\.INFO\.S"):
        await denied
    assert not other.done()
    other.cancel()


async def test_without_an_inbox_nobody_waits_on() -> None:
    """Where answers may not be heard, every wait ends, with the setting to correct."""
    denials = Denials("_INBOX_indexer")
    tasks = [await waiting(denials, subject) for subject in ("a", "b")]
    denials.take(violation("subscription", "_INBOX_indexer.abc.*"))
    for task in tasks:
        with pytest.raises(NotPermitted, match="NATS_INBOX_PREFIX"):
            await task


async def test_other_errors_are_not_taken() -> None:
    """They are somebody else's to judge."""
    assert not Denials("_INBOX").take(Exception("nats: stale connection"))


async def test_a_subscription_that_is_denied_is_known_until_it_is_tried_again() -> None:
    """Permissions can change; an old refusal does not outlive the next try."""
    denials = Denials("_INBOX")
    denials.take(violation("subscription", "security.index.v1.stats"))
    with pytest.raises(NotPermitted, match=r"security\.index\.v1\.stats"):
        denials.check_heard("security.index.v1.stats")
    denials.forget("security.index.v1.stats")
    denials.check_heard("security.index.v1.stats")


async def test_one_kind_of_refusal_is_said_once(said: list[str]) -> None:
    """Ten thousand acknowledgements that are denied are one line in the log, with the subject as it is."""
    denials = Denials("_INBOX")
    for n in range(100):
        denials.take(violation("publish", f"$JS.ACK.S.indexer.1.{n}.{n}.0.0"))
    denials.take(violation("publish", "$JS.API.STREAM.PURGE.S"))
    assert ["$JS.ACK.S.indexer" in said[0], "$JS.API.STREAM.PURGE.S" in said[1], len(said)] == [True, True, 2]


@pytest.mark.parametrize("aloud", [False, True])
async def test_what_somebody_is_told_is_logged_by_a_service_alone(said: list[str], aloud: bool) -> None:
    """A command's own error is its last line and its only one; who asks a service does not see its log."""
    denials = Denials("_INBOX")
    denials.aloud = aloud
    told = await waiting(denials, "$JS.API.STREAM.INFO.S")
    denials.take(violation("publish", "$JS.API.STREAM.INFO.S"))
    denials.take(violation("subscription", "$SRV.PING"))
    with pytest.raises(NotPermitted):
        await told
    assert len(said) == (2 if aloud else 0)
    denials.take(violation("publish", "$JS.ACK.S.indexer"))
    assert "$JS.ACK.S.indexer" in said[-1]


async def test_what_works_is_returned_and_what_fails_is_raised() -> None:
    """The wait adds nothing of its own."""
    denials = Denials("_INBOX")

    async def fail() -> None:
        raise ValueError("its own")

    assert await denials.unless_denied("a", asyncio.sleep(0, "answer")) == "answer"
    with pytest.raises(ValueError, match="its own"):
        await denials.unless_denied("a", fail())
