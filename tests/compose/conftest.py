"""One project of deploy/compose.yaml for all tests here: built from its Dockerfiles and up."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from harness.base_images import ensure_base_images
from harness.compose import ComposeProject, read_versions
from harness.engine import Engine, EngineError, running_engine
from harness.waits import free_port
from precedent_backend_adapter import Config, Precedent
from precedent_backend_adapter.config import Timeouts


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A container engine that has the base images."""
    try:
        with running_engine() as running, tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            stand_ins = ensure_base_images(running, read_versions(), Path(folder))
            print(f"\nstand-ins for base images: {', '.join(stand_ins) or 'none'}")
            yield running
    except (EngineError, OSError) as error:
        # No test here can do without: said once, not once for each.
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def nats_port() -> int:
    """Where the project publishes NATS on this machine."""
    return free_port()


@pytest.fixture(scope="session")
def project(engine: Engine, nats_port: int) -> Iterator[ComposeProject]:
    """The whole stack, up; a test that changes its state leaves it up."""
    # The profile comes as people give it: the demonstration backend runs beside what runs always.
    variables = {"NATS_PORT": str(nats_port), "COMPOSE_PROFILES": "demo"}
    project = ComposeProject(engine, f"precedent-test-{nats_port}", variables)
    project.build()
    try:
        project.up()
        yield project
    finally:
        project.down(volumes=True)


@pytest.fixture
async def precedent(project: ComposeProject, nats_port: int) -> AsyncIterator[Precedent]:
    """A backend on this machine, outside of the containers; patient enough for a container to come back."""
    patient = Config(timeouts=Timeouts(connect=30, publish=120))
    async with Precedent.connect(f"nats://127.0.0.1:{nats_port}", config=patient) as connected:
        yield connected
