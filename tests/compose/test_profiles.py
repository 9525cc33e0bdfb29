"""The profiles of the compose file: looking in with the `nats` command, and figures, alerts and a dashboard."""

import json
import re
from pathlib import Path

import pytest

from harness.compose import UP_SECONDS, ComposeProject, read_versions
from harness.engine import Engine, EngineError
from harness.waits import eventually
from precedent_backend_adapter import Precedent, PrecedentError
from precedent_schemas import SecurityEvent

pytestmark = [pytest.mark.timeout(900)]

PATIENCE_S = 120.0
ALERTS = Path(__file__).resolve().parents[2] / "deploy" / "observability" / "alerts.yml"


def need(engine: Engine, variable: str) -> None:
    """Skip, by name, where the image of a profile can neither be pulled nor stood in for."""
    name = read_versions()[variable]
    if not engine.has_image(name):
        pytest.skip(f"{name} cannot be pulled here, and nothing stands in for it")


async def test_debug_has_the_nats_command_beside_the_bus(engine: Engine, project: ComposeProject) -> None:
    """With the profile `debug`, service, log and answers can be looked at from inside a container of the bus."""
    need(engine, "NATS_BOX_IMAGE")
    await project.healthy("indexer")
    project.compose("--profile", "debug", "up", "--detach", "--no-build", "nats-box", timeout=PATIENCE_S)
    await project.healthy("nats-box")
    assert "indexer" in project.inside("nats-box", "nats", "micro", "ls")
    assert "security.events.v1.>" in project.inside("nats-box", "nats", "stream", "info", "SECURITY_EVENTS")
    stats = json.loads(project.inside("nats-box", "nats", "req", "--raw", "security.index.v1.stats", ""))
    assert stats["state"] == "serving"
    project.inside("nats-box", "nats", "context", "save", "here", "--select")


async def test_chroma_server_has_two_indexers_in_the_place_of_one(
    engine: Engine, project: ComposeProject, precedent: Precedent
) -> None:
    """With the profile `chroma-server`, two share one index: both run, and one goes on when the other is killed."""
    project.compose("stop", "indexer", timeout=PATIENCE_S)
    up = ("--profile", "chroma-server", "up", "--detach", "--no-build", "chroma", "replica")
    project.compose(*up, timeout=UP_SECONDS)
    try:
        first, second = project.compose("--profile", "chroma-server", "ps", "--quiet", "replica").split()
        await is_indexed(precedent, "before anything happens")
        for killed in (first, second):
            engine.docker("kill", killed)
            await is_indexed(precedent, f"while {killed} is away")
            engine.docker("start", killed)
    finally:
        project.compose("--profile", "chroma-server", "rm", "--stop", "--force", "-v", "chroma", "replica")
        project.down()
        project.up()


async def is_indexed(precedent: Precedent, text: str) -> None:
    """Publish an event, and wait until the index has it."""
    receipt = await precedent.publish(SecurityEvent(kind="test.compose", text=text, severity=3))

    async def probe() -> None:
        assert (await precedent.get([receipt.id])).missing == []

    await eventually(probe, timeout=UP_SECONDS, interval=0.5, exceptions=(AssertionError, PrecedentError))


async def test_observability_scrapes_the_indexer_and_knows_the_alerts(engine: Engine, project: ComposeProject) -> None:
    """With the profile `observability`, Prometheus has the indexer's figures and every rule of alerts.yml."""
    need(engine, "PROMETHEUS_IMAGE")
    await project.healthy("indexer")
    project.compose("--profile", "observability", "up", "--detach", "--no-build", "prometheus", timeout=PATIENCE_S)

    async def scraped() -> None:
        found = json.loads(asked(project, "query?query=up"))["data"]["result"]
        assert [(one["metric"]["job"], one["value"][1]) for one in found] == [("precedent-indexer", "1")]

    await eventually(scraped, timeout=PATIENCE_S, interval=1.0, exceptions=(AssertionError, EngineError))
    written = re.findall(r"- alert: (\w+)", ALERTS.read_text(encoding="utf-8"))

    async def evaluated() -> None:
        [group] = json.loads(asked(project, "rules"))["data"]["groups"]
        assert {rule["name"]: rule["health"] for rule in group["rules"]} == dict.fromkeys(written, "ok")

    await eventually(evaluated, timeout=PATIENCE_S, interval=1.0, exceptions=(AssertionError, EngineError))
    [indexed] = json.loads(asked(project, "query?query=precedent_indexed_sequence"))["data"]["result"]
    assert int(indexed["value"][1]) > 0


async def test_observability_shows_the_dashboard(engine: Engine, project: ComposeProject) -> None:
    """Grafana comes up with the dashboard provisioned, without a login; nothing stands in for its image."""
    need(engine, "GRAFANA_IMAGE")
    project.compose("--profile", "observability", "up", "--detach", "--no-build", "grafana", timeout=PATIENCE_S)
    await project.healthy("grafana")
    found = project.inside("grafana", "wget", "-q", "-O", "-", "http://127.0.0.1:3000/api/search?query=Precedent")
    assert json.loads(found)


def asked(project: ComposeProject, what: str) -> str:
    """What Prometheus answers."""
    return project.inside("prometheus", "wget", "-q", "-O", "-", f"http://127.0.0.1:9090/api/v1/{what}")
