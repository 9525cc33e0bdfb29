"""The profiles of the compose file: looking in with the `nats` command, and figures, alerts and a dashboard."""

import json
import re
from pathlib import Path

import pytest

from harness.compose import ComposeProject, read_versions
from harness.engine import Engine, EngineError
from harness.waits import eventually

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
