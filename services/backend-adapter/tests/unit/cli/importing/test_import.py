"""A file into the log: every line once, whatever happens in between and however often it is run."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_cli import WHERE, Done, run

from precedent_backend_adapter import (
    GetReply,
    NotDelivered,
    NotDeliveredReason,
    NotPermitted,
    Publication,
    Receipt,
    SecurityEvent,
    TooLarge,
    Unavailable,
)
from precedent_backend_adapter.cli.importing import run as importing
from precedent_backend_adapter.testing import InMemoryPrecedent

KIND = ("--kind", "old")


class Log(InMemoryPrecedent):
    """Counts what reaches the log, forgets message ids as the log does in time, and can be cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.dies = False

    async def _send(self, publication: Publication) -> Receipt:
        if self.left == 0:
            raise NotDelivered("the log is full; make room", NotDeliveredReason.LOG_FULL, publication)
        if self.left is not None:
            self.left -= 1
        receipt = await super()._send(publication)
        if self.dies and self.left == 0:
            raise SystemExit("killed")
        return receipt

    def messages(self) -> int:
        """How many the log has."""
        self._memory._seqs.clear()
        return self._memory.last_seq

    def texts(self, collection: str = "incidents") -> list[str]:
        """Of all events, oldest first."""

        async def read() -> list[str]:
            return [one.event.text async for one in self.list(collection=collection)][::-1]

        return asyncio.run(read())


@pytest.fixture
def log() -> Log:
    """An empty one."""
    return Log()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines between two notes."""
    monkeypatch.setattr(importing, "BATCH", 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test writes its lines."""
    return tmp_path / "events.jsonl"


def write(file: Path, *lines: Any) -> Path:
    """Lines of JSON, or of anything that is bytes."""
    file.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return file


def texts(count: int) -> Iterator[dict[str, str]]:
    """So many events without an id."""
    return ({"text": f"event {n}"} for n in range(count))


def counted(done: Done) -> tuple[int, int, list[int]]:
    """Published, already there, and the lines that were refused."""
    report = done.json()
    return report["published"], report["already"], [one["line"] for one in report["refused"]]


def test_every_line_becomes_an_event(log: Log, file: Path) -> None:
    """With all its fields; kind and collection come from the line, else from the options."""
    whole = {"id": "a", "kind": "auth.mfa", "collection": "lab", "text": "one", "severity": 4, "user": "ana"}
    write(file, whole, b"", {"text": "two", "occurred_at": "2026-01-31T12:00:00Z", "source": None})
    done = run(log, "import", str(file), *KIND, "--collection", "history", "--json")
    assert (done.code, counted(done)) == (0, (2, 0, []))
    [one] = asyncio.run(log.get(["a"], collection="lab")).events
    assert (one.event.kind, one.event.severity, one.event.user) == ("auth.mfa", 4, "ana")
    assert log.texts("history") == ["two"]


def test_a_second_run_publishes_nothing(log: Log, file: Path) -> None:
    """Also long after the log has forgotten the message ids."""
    write(file, *texts(1200))
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (1200, 0, [])
    assert log.messages() == 1200
    done = run(log, "import", str(file), *KIND)
    assert done.out == "0 published, 1200 already there, 0 refused\n"
    assert log.messages() == 1200


def test_equal_lines_are_events_of_their_own(log: Log, file: Path) -> None:
    """Three times the same line is three events, and a fourth that is added later is one more."""
    write(file, *[{"text": "same"}] * 3)
    run(log, "import", str(file), *KIND)
    write(file, *[{"text": "same"}] * 4)
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (1, 3, [])
    assert log.texts() == ["same"] * 4


def test_only_lines_that_are_new_are_published(log: Log, file: Path) -> None:
    """A file may grow, shrink and be put in another order: a line is known by what it says."""
    write(file, *texts(5))
    run(log, "import", str(file), *KIND)
    write(file, {"text": "first"}, *list(texts(5))[::-1], {"text": "last"})
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (2, 5, [])
    assert log.texts() == [*(f"event {n}" for n in range(5)), "first", "last"]


def test_what_is_refused_is_named_by_line_and_does_not_stop_the_rest(log: Log, file: Path) -> None:
    """Each with its reason; exit code 3; the same again in the next run, until it is corrected."""
    lines: list[Any] = [
        {"text": "good"},
        b"not json",
        {"text": "x", "ip": "nowhere"},
        {"kind": "x"},
        {"text": "x", "severty": 3},
        {"text": "x", "id": "seq-3"},
        b'{"text": "x", "text": "y"}',
        b"\xff",
        {"text": "also good"},
    ]
    write(file, *lines)
    done = run(log, "import", str(file), *KIND)
    assert done.code == 3
    assert "2 published, 0 already there, 7 refused" in done.out
    for reason in ("not JSON", "should be an IPv4", "Field required", "severty", "stands twice", "not UTF-8"):
        assert reason in done.out
    again = run(log, "import", str(file), *KIND, "--json")
    assert (again.code, counted(again)) == (3, (0, 2, [2, 3, 4, 5, 6, 7, 8]))
    write(file, lines[0], {"text": "corrected"}, lines[-1])
    done = run(log, "import", str(file), *KIND, "--json")
    assert (done.code, counted(done)) == (0, (1, 2, []))
    assert log.texts() == ["good", "also good", "corrected"]


def test_many_refused_lines_are_counted_and_the_first_shown(log: Log, file: Path) -> None:
    """A table stays readable; JSON names all."""
    write(file, *[b"no"] * 50)
    shown = run(log, "import", str(file)).out
    assert "30 more; --json names all" in shown
    assert "0 published, 0 already there, 50 refused" in shown
    assert len(run(log, "import", str(file), "--json").json()["refused"]) == 50


def test_a_kind_that_is_missing_is_a_refusal(log: Log, file: Path) -> None:
    """Without --kind a line needs its own."""
    write(file, {"text": "x"})
    assert "kind: Field required" in run(log, "import", str(file)).out


def test_what_is_too_large_for_the_log_is_a_refusal(log: Log, file: Path) -> None:
    """It would be too large tomorrow as well."""
    write(file, {"text": "x", "attributes": {f"k{n}": "y" * 8000 for n in range(60)}}, {"text": "small"})
    done = run(log, "import", str(file), *KIND, "--json")
    assert (done.code, counted(done)) == (3, (1, 0, [1]))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(("after", "dies"), [*((n, False) for n in range(8)), *((n, True) for n in range(1, 9))])
def test_it_goes_on_where_it_was_interrupted(log: Log, file: Path, after: int, dies: bool) -> None:
    """Wherever a run ends, the next one publishes exactly what is missing, however much later."""
    write(file, *texts(8))
    log.left, log.dies = after, dies
    done = run(log, "import", str(file), *KIND)
    if not dies:
        assert done.code == 1
        assert "the log is full; make room" in done.err
        assert "the same command goes on from there" in done.err
    assert log.messages() == after
    log.left, log.dies = None, False
    published, already, refused = counted(run(log, "import", str(file), *KIND, "--json"))
    assert (published, already, refused) == (8 - after, after, [])
    assert log.messages() == 8
    assert log.texts() == [f"event {n}" for n in range(8)]


@pytest.mark.usefixtures("small_batches")
def test_an_event_of_unknown_fate_is_not_published_twice(log: Log, file: Path) -> None:
    """When the acknowledgement is lost, the run ends, and the next asks the index."""
    write(file, *texts(4))
    log.lose_next_ack()
    done = run(log, "import", str(file), *KIND)
    assert done.code == 1
    assert "may or may not be in the log" in done.err
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (1, 3, [])
    assert log.messages() == 4


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("dies", [True, False], ids=["killed", "refused by the log"])
def test_revisions_of_one_event_arrive_in_order_also_after_a_crash(log: Log, file: Path, dies: bool) -> None:
    """Lines with one id are revisions: the last one counts, and none is sent twice."""
    write(file, *({"id": "a", "text": f"revision {n}"} for n in range(5)))
    log.left, log.dies = 3, dies
    run(log, "import", str(file), *KIND)
    log.left, log.dies = None, False
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (2, 3, [])
    assert log.messages() == 5
    assert log.texts() == ["revision 4"]


def test_a_newer_revision_of_somebody_else_is_not_taken_back(log: Log, file: Path) -> None:
    """What was published under an id after the crash stays; what was there before it is replaced."""
    asyncio.run(log.publish(SecurityEvent(kind="x", id="a", text="before")))
    asyncio.run(log.publish(SecurityEvent(kind="x", id="b", text="before")))
    write(file, {"id": "a", "text": "mine"}, {"id": "b", "text": "mine"})
    log.left = 0
    run(log, "import", str(file), *KIND)
    log.left = None
    asyncio.run(log.publish(SecurityEvent(kind="x", id="a", text="newer")))
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (1, 1, [])
    assert log.texts() == ["newer", "mine"]


async def test_it_waits_for_an_index_that_lags_before_it_trusts_it(
    log: Log, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the index is behind, an event that is not found may still be in the log."""
    monkeypatch.setattr(importing, "_LOOK_S", 0.001)
    write(file, *texts(3))
    log.left, log.dies = 2, True
    await asyncio.to_thread(run, log, "import", str(file), *KIND)
    log.left, log.dies = None, False
    lags = [1, 1, 1]
    ask, get = log.stats, log.get

    async def stats() -> Any:
        whole = await ask()
        return whole.model_copy(update={"indexed_seq": lags.pop()}) if lags else whole

    async def got(ids: list[str], *, collection: str) -> GetReply:
        assert not lags, "asked before the index had caught up"
        return await get(ids, collection=collection)

    log.stats, log.get = stats, got  # type: ignore[method-assign,assignment]
    done = await asyncio.to_thread(run, log, "import", str(file), *KIND, "--json")
    assert counted(done) == (1, 2, [])


def test_an_answer_that_is_too_large_is_asked_for_in_parts(log: Log, file: Path) -> None:
    """Whole events come back, and not all of a batch may fit."""
    write(file, *texts(9))
    log.left, log.dies = 7, True
    run(log, "import", str(file), *KIND)
    log.left, log.dies = None, False
    get = log.get

    async def few(ids: list[str], *, collection: str) -> GetReply:
        if len(ids) > 2:
            raise TooLarge("2 fit", reason="too_large", code=413)
        return await get(ids, collection=collection)

    log.get = few  # type: ignore[method-assign,assignment]
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (2, 7, [])


def test_without_an_indexer_nothing_is_published(log: Log, file: Path) -> None:
    """Nobody could tell later what has arrived."""
    write(file, {"text": "x"})
    log.fail_next(Unavailable("nobody answers"))
    done = run(log, "import", str(file), *KIND)
    assert (done.code, done.err) == (1, "precedent: nobody answers\n")
    assert log.messages() == 0


def test_credentials_that_may_not_publish_end_it(log: Log, file: Path) -> None:
    """That is no fault of the line."""
    write(file, *texts(3))

    async def denied(_: SecurityEvent) -> Receipt:
        raise NotPermitted("may not publish")

    log.publish = denied  # type: ignore[method-assign,assignment]
    done = run(log, "import", str(file), *KIND)
    assert done.code == 3
    assert "0 published, then no more: may not publish" in done.err


def test_the_journal_may_be_elsewhere(log: Log, file: Path, tmp_path: Path) -> None:
    """Beside the file unless --state says where."""
    write(file, {"text": "x"})
    run(log, "import", str(file), *KIND, "--state", str(tmp_path / "journal"))
    assert [one.name for one in sorted(tmp_path.iterdir())] == ["events.jsonl", "journal"]
    run(log, "import", str(file), *KIND)
    assert (tmp_path / "events.jsonl.precedent-import").is_file()


def test_a_journal_of_another_log_is_not_believed(log: Log, file: Path) -> None:
    """What one server has says nothing of another; the message names both and the way out."""
    write(file, {"text": "x"})
    run(log, "import", str(file), *KIND)
    other = Log()
    done = run(other, "import", str(file), *KIND, where="nats://elsewhere:4222")
    assert done.code == 2
    assert WHERE in done.err
    assert "nats://elsewhere:4222" in done.err
    assert "--state" in done.err
    assert other.messages() == 0


def test_a_torn_record_is_left_out(log: Log, file: Path) -> None:
    """A crash in the middle of a write costs nothing: the index is asked."""
    write(file, *texts(3))
    run(log, "import", str(file), *KIND)
    journal = file.with_name("events.jsonl.precedent-import")
    whole = journal.read_bytes()
    *_, last = whole.splitlines(keepends=True)
    assert b"stored" in last
    for kept in range(len(last)):
        journal.write_bytes(whole[: len(whole) - len(last) + kept])
        assert counted(run(log, "import", str(file), *KIND, "--json")) == (0, 3, [])
    assert log.messages() == 3


@pytest.mark.parametrize("content", [b"something else\n", b"{}\n", b'{"precedent_import": 99}\n', b"[]\n", b"\xff\n"])
def test_a_file_that_is_no_journal_is_not_written_to(log: Log, file: Path, content: bytes) -> None:
    """Whatever it is, it stays as it was."""
    write(file, {"text": "x"})
    journal = file.with_name("events.jsonl.precedent-import")
    journal.write_bytes(content)
    done = run(log, "import", str(file), *KIND)
    assert done.code == 2
    assert "line 1 of" in done.err
    assert journal.read_bytes() == content
    assert log.messages() == 0


def test_two_runs_at_once_are_one_too_many(log: Log, file: Path) -> None:
    """The second says so and publishes nothing."""
    write(file, {"text": "x"})
    seen: list[Done] = []
    ask = log.stats

    async def meanwhile() -> Any:
        seen.append(await asyncio.to_thread(run, Log(), "import", str(file), *KIND))
        return await ask()

    log.stats = meanwhile  # type: ignore[method-assign,assignment]
    assert run(log, "import", str(file), *KIND).code == 0
    assert seen[0].code == 2
    assert "another import of the same file is running" in seen[0].err


@pytest.mark.parametrize("arguments", [("missing.jsonl",), (".",)], ids=["missing", "a folder"])
def test_a_file_that_cannot_be_read_is_named(log: Log, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """One line, exit code 2."""
    done = run(log, "import", str(tmp_path / arguments[0]), *KIND)
    assert done.code == 2
    assert done.err.startswith(f"precedent: {tmp_path / arguments[0]}")
    assert done.err.count("\n") == 1


def test_a_journal_that_cannot_be_written_is_named(log: Log, file: Path, tmp_path: Path) -> None:
    """With the option that moves it."""
    write(file, {"text": "x"})
    done = run(log, "import", str(file), *KIND, "--state", str(tmp_path / "no" / "folder"))
    assert done.code == 2
    assert "--state" in done.err
    assert log.messages() == 0


def test_a_byte_order_mark_is_no_part_of_the_first_line(log: Log, file: Path) -> None:
    """As some programs write it."""
    file.write_bytes(b"\xef\xbb\xbf" + b'{"text": "x"}\r\n')
    assert counted(run(log, "import", str(file), *KIND, "--json")) == (1, 0, [])


def test_progress_is_no_part_of_the_answer(log: Log, file: Path) -> None:
    """Stdout has the report alone."""
    write(file, *texts(3))
    done = run(log, "import", str(file), *KIND)
    assert (done.out, done.err) == ("3 published, 0 already there, 0 refused\n", "")
