"""The commands about an outbox: what they show of a file, and what they do to it."""

import asyncio
from pathlib import Path

import pytest
from fake_log import FakeLog, client
from running_cli import run

from precedent_backend_adapter import SecurityEvent
from precedent_backend_adapter._transport import Fault, FaultKind
from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
async def outbox(tmp_path: Path) -> Path:
    """One that was left with two events that wait, and one that was refused."""
    path = tmp_path / "outbox"
    log = FakeLog(
        refusing=lambda one: Fault(FaultKind.NOT_PERMITTED, "said \x1b no") if one.body["id"] == "b" else None
    )
    log.connected.set()
    async with client(log, path) as precedent:
        await precedent.publish(SecurityEvent(kind="auth", text="x", id="b"))
        await precedent.flush()
        log.connected.clear()
        for name in "ac":
            await precedent.publish(SecurityEvent(kind="auth", text="x", id=name))
    return path


def test_status_counts_and_names_what_was_refused(outbox: Path) -> None:
    """A table for people, one document for programs; what was refused is an exit code of its own."""
    told = run(InMemoryPrecedent(), "outbox", "status", str(outbox), "--json")
    assert told.code == 3
    said = told.json()
    assert (said["waiting"], said["set_aside"], said["path"]) == (2, 1, str(outbox))
    assert said["oldest"].endswith("Z")
    [refused] = said["refused"]
    assert (refused["id"], refused["refusal"], refused["superseded"]) == ("b", "said \x1b no", False)
    shown = run(InMemoryPrecedent(), "outbox", "status", str(outbox))
    assert "refused because" in shown.out
    assert "\x1b" not in shown.out
    assert shown.asked == []


def test_drop_forgets_what_was_refused_and_nothing_else(outbox: Path) -> None:
    """It asks first; what waits stays."""
    asked = run(InMemoryPrecedent(), "outbox", "drop", str(outbox), stdin="n\n")
    assert (asked.code, "not confirmed" in asked.err) == (1, True)
    assert run(InMemoryPrecedent(), "outbox", "drop", str(outbox), "--yes", "--json").json() == {"dropped": 1}
    told = run(InMemoryPrecedent(), "outbox", "status", str(outbox), "--json")
    assert (told.code, told.json()["waiting"], told.json()["set_aside"]) == (0, 2, 0)


def test_flush_waits_for_a_client_with_this_outbox(outbox: Path) -> None:
    """It opens a client on this file, and ends once nothing waits there."""
    free = InMemoryPrecedent(outbox=True)
    flushed = run(free, "outbox", "flush", str(outbox), "--json")
    assert (flushed.code, flushed.json()["waiting"]) == (0, 0)
    assert [one.path for one in flushed.outboxes] == [outbox]


async def held() -> InMemoryPrecedent:
    """A client in whose outbox one event waits."""
    precedent = InMemoryPrecedent(outbox=True)
    precedent.hold_outbox()
    await precedent.publish(SecurityEvent(kind="auth", text="x", id="a"))
    return precedent


async def test_a_flush_that_cannot_says_what_is_left(outbox: Path) -> None:
    """The number, the reason and that nothing is lost, in one line."""
    precedent = await held()
    told = await asyncio.to_thread(run, precedent, "outbox", "flush", str(outbox), "--timeout", "0.05")
    assert told.code == 1
    assert f"1 still wait in {outbox} after 0.05 s: it is held; they stay there" in told.err


@pytest.mark.parametrize("verb", ["status", "flush", "drop"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, verb: str) -> None:
    """No empty outbox is made by looking for one."""
    told = run(InMemoryPrecedent(), "outbox", verb, str(tmp_path / "nothing"))
    assert told.code == 2
    assert "nothing" in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_outbox_fails_in_one_line(tmp_path: Path) -> None:
    """Whatever it is, it is left as it is."""
    path = tmp_path / "letter"
    path.write_text("dear all")
    for verb in (("status",), ("drop", "--yes")):
        told = run(InMemoryPrecedent(), "outbox", verb[0], str(path), *verb[1:])
        assert (told.code, told.err.count("\n")) == (1, 1)
        assert str(path) in told.err
    assert path.read_text() == "dear all"
