"""Fixtures: one closed server that the tests of permissions share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from security.closed_bus import ONE_TEAM, ClosedBus, closed_bus


@pytest.fixture(scope="session")
def team_plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan that is shipped, with one user of the role that it leaves out."""
    plan = tmp_path_factory.mktemp("plan") / "team.toml"
    plan.write_text(ONE_TEAM.read_text(encoding="utf-8") + 'importer = { role = "importer" }\n', encoding="utf-8")
    return plan


@pytest.fixture(scope="session")
def team_bus(tmp_path_factory: pytest.TempPathFactory, team_plan: Path) -> Iterator[ClosedBus]:
    """A server of that plan, without streams and without an indexer."""
    with closed_bus(tmp_path_factory.mktemp("team"), team_plan) as bus:
        yield bus
