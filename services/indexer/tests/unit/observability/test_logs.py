"""Log lines: one for each call, whatever is in it."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from precedent_indexer.observability import logs

NASTY = "admin\x1b[2J\r\n2026-01-01 [info] all is well \u202e\x00 \u2028 end"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], io.StringIO]]:
    """Configures logs of a level and a form; gives what they write to."""
    before = structlog.get_config()

    def configure(level: str, form: str) -> io.StringIO:
        target = io.StringIO()
        monkeypatch.setattr(sys, "stderr", target)
        # The test runner has handlers of its own at the root, and a root that has some is left as it is.
        monkeypatch.setattr(logging.getLogger(), "handlers", [])
        logs.configure(level, form)
        return target

    yield configure
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_value_cannot_begin_a_line_or_command_a_terminal(
    written: Callable[[str, str], io.StringIO], form: str
) -> None:
    """Control characters, line breaks of every kind and changes of direction in a value come out harmless."""
    target = written("info", form)
    structlog.get_logger().warning("dead_letter", detail=NASTY, other="x" * 10_000, number=3)
    text = target.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.rstrip("\n").isprintable()
    assert len(text) < 2_000
    assert "admin" in text
    assert "end" in text


def test_json_lines_can_be_read_back(written: Callable[[str, str], io.StringIO]) -> None:
    """A line is one JSON object with the event, the level, a time in UTC and the values."""
    target = written("info", "json")
    structlog.get_logger().error("question_failed", endpoint="search", count=3)
    line = json.loads(target.getvalue())
    assert (line["event"], line["level"], line["endpoint"], line["count"]) == ("question_failed", "error", "search", 3)
    assert line["timestamp"].endswith("Z")


class Clock:
    """A clock that goes on when it is told to."""

    now = 0.0

    def monotonic(self) -> float:
        """Seconds."""
        return self.now


def test_a_repeated_fault_is_one_line_a_minute_with_a_count(
    written: Callable[[str, str], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is said at once, the others as a number with the next attempt; another fault is said beside it."""
    clock = Clock()
    monkeypatch.setattr(logs, "time", clock)
    target = written("info", "json")
    log = structlog.get_logger()
    for attempt in range(100):
        log.error("ingest_fault", error="BusUnavailable", detail="no answer", retry_in_s=min(attempt, 10))
        clock.now += 1
    log.error("ingest_fault", error="StoreUnavailable", detail="disk", retry_in_s=0.2)
    lines = [json.loads(line) for line in target.getvalue().splitlines()]
    assert [(line["error"], line.get("times"), line["retry_in_s"]) for line in lines] == [
        ("BusUnavailable", None, 0),
        ("BusUnavailable", 60, 10),
        ("StoreUnavailable", None, 0.2),
    ]


def test_lines_that_are_no_faults_are_all_said(written: Callable[[str, str], io.StringIO]) -> None:
    """What happens twice and names no error has happened twice: a generation that is removed, a dead letter."""
    target = written("info", "json")
    log = structlog.get_logger()
    for _ in range(3):
        log.warning("dead_letter", seq=17, reason="malformed")
        log.info("importing", error="none", done=1)
    assert target.getvalue().count("\n") == 6


def test_levels_below_the_least_are_silent(written: Callable[[str, str], io.StringIO]) -> None:
    """Only what is at least as grave as the level is written."""
    target = written("warning", "console")
    log = structlog.get_logger()
    log.info("quiet")
    log.warning("loud")
    assert "quiet" not in target.getvalue()
    assert "loud" in target.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_libraries_are_named_and_not_quoted(written: Callable[[str, str], io.StringIO], form: str) -> None:
    """What a library finds wrong is one line of ours with its name and the kind: no message, no traceback."""
    target = written("info", form)
    try:
        raise ValueError(f"payload {NASTY}")
    except ValueError:
        logging.getLogger("nats.aio").exception("encountered %s", NASTY)
    text = target.getvalue()
    assert text.count("\n") == 1
    assert "nats.aio" in text
    assert "ValueError" in text
    assert "admin" not in text
    assert "Traceback" not in text
