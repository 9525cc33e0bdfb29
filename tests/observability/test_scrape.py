"""A real indexer after real work is scraped: its numbers, and every alert and panel that is built on them."""

import asyncio
import re
import socket
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from prometheus_client.parser import text_string_to_metric_families

from harness.stack import NewIndexer, Stack, running_stack
from harness.waits import eventually, free_port
from harness.wire import Wire
from observability.expressions import OBSERVABILITY, Expression, Series, alerts, expressions, mistakes, panels

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "observing.md"
PATIENCE_S = 60.0
C = "watched"
CANARY = "Kuckuck4711"
"""Stands in every text that a publisher or a caller chooses."""


@dataclass
class Watched:
    """A running stack whose indexer is scraped."""

    stack: Stack
    port: int

    async def page(self) -> str:
        """What Prometheus would get."""

        def fetch() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
                return str(answer.read().decode())

        return await asyncio.to_thread(fetch)

    async def series(self) -> list[Series]:
        """Every series of a scrape, and the one that Prometheus adds."""
        found = [Series("up", {}, "gauge")]
        for family in text_string_to_metric_families(await self.page()):
            found += [Series(one.name, one.labels, family.type) for one in family.samples]
        return found

    async def value(self, name: str, **labels: str) -> float:
        """Of the series with just these labels."""
        for family in text_string_to_metric_families(await self.page()):
            for one in family.samples:
                if one.name == f"precedent_{name}" and one.labels == labels:
                    return float(one.value)
        raise AssertionError(f"no series precedent_{name} {labels}")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def watched(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """An indexer that has indexed, superseded, refused and deleted, and answered well and badly."""
    port = free_port()
    settings = {"PRECEDENT_METRICS_PORT": str(port), "PRECEDENT_LOG_LEVEL": "debug"}
    async with running_stack(tmp_path_factory.mktemp("watched"), env=settings) as stack:
        async with Wire.connected(stack.server.url) as wire:
            await _a_day(wire)
        found = Watched(stack, port)

        async def observed() -> None:
            last = await found.value("log_last_sequence")
            assert last >= 7
            assert await found.value("indexed_sequence") == last

        await eventually(observed, timeout=PATIENCE_S, attempt_timeout=30.0)
        yield found


async def _a_day(wire: Wire) -> None:
    await wire.event(C, f"failed login of {CANARY}", id=f"a-{CANARY}", user=CANARY, attributes={"key": CANARY})
    await wire.event(C, f"second revision {CANARY}", id=f"a-{CANARY}")
    await wire.event(C, f"beacon to {CANARY}", id="b")
    await wire.outcome(C, "b", "benign", note=CANARY)
    await wire.publish(f"security.events.v1.{C}.test", {"text": CANARY, "severity": CANARY, CANARY: CANARY})
    await wire.publish(f"security.events.v1.{C}.test", f"no JSON {CANARY}".encode())
    seq = await wire.event(C, f"the last of them, {CANARY}")
    await wire.search(C, text=f"who has seen {CANARY}?", min_seq=seq)
    await wire.of(C, "get", ids=["b"])
    await wire.refused(f"security.index.v1.{C}.search", {"text": CANARY, "k": 0, CANARY: CANARY})
    await wire.refused(f"security.index.v1.{CANARY.lower()}.search", {"text": CANARY})
    await wire.of(C, "delete", ids=["b"])


@pytest.mark.parametrize("expression", expressions(), ids=str)
@pytest.mark.asyncio(loop_scope="session")
async def test_every_query_is_about_what_exists(watched: Watched, expression: Expression) -> None:
    """Each alert and each panel names metrics, labels and values that a real scrape has, and rates counters alone."""
    assert mistakes(expression, await watched.series()) == []


@pytest.mark.asyncio(loop_scope="session")
async def test_the_numbers_are_those_of_the_day(watched: Watched) -> None:
    """What was published and asked is what is counted."""
    assert await watched.value("messages_total", kind="event", result="applied") >= 3
    assert await watched.value("messages_total", kind="outcome", result="applied") == 1
    assert await watched.value("messages_total", kind="deletion", result="applied") == 1
    assert await watched.value("dead_letters_total", reason="malformed") == 1
    assert await watched.value("dead_letters_total", reason="invalid") == 1
    assert await watched.value("events_removed_total", why="deleted") == 1
    assert await watched.value("indexing_delay_seconds_count") == 8
    assert await watched.value("questions_total", verb="search", code="200") == 1
    assert await watched.value("questions_total", verb="search", code="400") == 1
    assert await watched.value("questions_total", verb="search", code="404") == 1
    assert await watched.value("question_seconds_count", verb="delete") == 1
    assert await watched.value("embedding_seconds_count", use="questions") == 1
    assert await watched.value("dead_letter_messages") == 2
    assert await watched.value("lag_messages") == 0
    assert await watched.value("nats_up") == 1
    assert await watched.value("state", precedent_state="serving") == 1


@pytest.mark.asyncio(loop_scope="session")
async def test_neither_page_nor_log_repeats_what_was_sent(watched: Watched) -> None:
    """No text, id, user, attribute, field name or collection of anybody's choice is in a metric or a log line."""
    assert CANARY.lower() not in (await watched.page()).lower()
    lines = watched.stack.indexer.logs()
    assert [line["seq"] for line in lines if line["event"] == "dead_letter"] == [5, 6]
    assert not [line for line in lines if CANARY.lower() in str(line).lower()]


@pytest.mark.asyncio(loop_scope="session")
async def test_the_document_has_every_metric(watched: Watched) -> None:
    """The table of metrics is what a scrape has, name by name."""
    documented = set(re.findall(r"(?m)^\| `(precedent_[a-z_]+)` \|", DOCUMENT.read_text(encoding="utf-8")))
    bare = re.compile(r"_(bucket|sum|count)$")
    scraped = {
        bare.sub("", one.name) if one.type == "histogram" else one.name
        for one in await watched.series()
        if one.name.startswith("precedent_")
    }
    assert documented == scraped


async def test_a_taken_port_is_said(new_indexer: NewIndexer) -> None:
    """The start is refused, and the settings that hold the port are named."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        indexer = new_indexer(PRECEDENT_METRICS_PORT=port)
        indexer.start()
        assert await indexer.wait_exit(PATIENCE_S) == 1
    assert f"PRECEDENT_METRICS_PORT={port}" in indexer.log_tail()
    assert "Traceback" not in indexer.log_tail()


def test_every_alert_is_tested_and_has_its_remedy() -> None:
    """alerts_test.yml makes each alert fire and be silent, and the document says what to do about it."""
    names = [rule["alert"] for rule in alerts()]
    content = yaml.safe_load((OBSERVABILITY / "alerts_test.yml").read_text(encoding="utf-8"))
    cases = [case for test in content["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(names)
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == set(names)
    assert re.findall(r"(?m)^\| `(Precedent\w+)` \|", DOCUMENT.read_text(encoding="utf-8")) == names


def test_the_dashboard_is_whole() -> None:
    """Every panel has a title of its own, a place of its own, and asks the data source that is provisioned."""
    [source] = yaml.safe_load((OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    places: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["targets"], panel["title"]
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not places & cells, panel["title"]
        places |= cells
    titles = [panel["title"] for panel in panels()]
    assert len(set(titles)) == len(titles)
