"""deploy/compose.yaml as one project of a container engine."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.engine import Engine, EngineError
from harness.waits import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"

# What the compose file has beside what always runs.
PROFILES = ("demo", "debug", "observability", "chroma-server")

# Downloads and the model's graph, on a busy machine.
BUILD_SECONDS = 1500.0

# From nothing to healthy, one service after the other.
UP_SECONDS = 300.0

# More than the longest grace period of a container.
DOWN_SECONDS = 90.0


def read_versions() -> dict[str, str]:
    """The entries of deploy/versions.env."""
    lines = (DEPLOY / "versions.env").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


class ComposeProject:
    """The containers, networks and volumes of one `docker compose` project.

    Args:
        engine: Where it runs.
        name: Prefix of everything that it makes.
        variables: What the compose file reads beside deploy/versions.env.
    """

    def __init__(self, engine: Engine, name: str, variables: Mapping[str, str]) -> None:
        self._engine = engine
        self._variables = variables
        self.name = name
        files: list[str | Path] = ["--env-file", DEPLOY / "versions.env", "--file", DEPLOY / "compose.yaml"]
        self._command: list[str | Path] = [*_compose_command(engine), "--project-name", name, *files]

    def build(self) -> None:
        """Build the images."""
        self.compose("build", timeout=BUILD_SECONDS)

    def up(self) -> None:
        """Start everything, each service when those that it depends on are healthy."""
        self.compose("up", "--detach", "--no-build", timeout=UP_SECONDS)

    def down(self, *, volumes: bool = False) -> None:
        """Remove containers and networks, and the volumes only where asked."""
        profiles = [word for name in PROFILES for word in ("--profile", name)]
        self.compose(*profiles, "down", *(["--volumes"] if volumes else []), timeout=DOWN_SECONDS)

    def compose(self, *args: str, timeout: float = 120.0) -> str:
        """Run a compose command and return what it printed.

        Raises:
            EngineError: It failed or did not end within `timeout` seconds.
        """
        return self._engine.run([*self._command, *args], timeout=timeout, variables=self._variables)

    def inside(self, service: str, *command: str) -> str:
        """Run a command in the service's container, as its user.

        Raises:
            EngineError: It failed.
        """
        return self._engine.docker("exec", self.container_id(service), *command)

    async def crash(self, service: str) -> None:
        """End the service's process with SIGKILL from within, and wait until the engine has started it again."""
        before = await self._condition(service)
        # The shell may not live to say that it was done.
        with contextlib.suppress(EngineError):
            # Every process of the container but its first, which then ends as the killed one did.
            await asyncio.to_thread(self.inside, service, "sh", "-c", "kill -KILL -1")

        async def probe() -> None:
            now = await self._condition(service)
            assert now["Running"], now
            assert now["StartedAt"] != before["StartedAt"], "it has not ended yet"

        await eventually(probe, timeout=UP_SECONDS, interval=0.2)

    def container_id(self, service: str) -> str:
        """The container of a service, running or not."""
        return self.compose("ps", "--all", "--quiet", service)

    def state(self, service: str) -> dict[str, Any]:
        """What the engine knows about the service's container."""
        [state] = json.loads(self._engine.docker("inspect", self.container_id(service)))
        return dict(state)

    def log(self, service: str) -> list[dict[str, Any]]:
        """The JSON lines that the service's container has written to one of its two outputs."""
        command: list[str | Path] = ["docker", "logs", self.container_id(service)]
        said = self._engine.run(command, timeout=30.0, with_stderr=True)
        return [json.loads(line) for line in said.splitlines() if line.startswith("{")]

    def remove_volume(self, name: str) -> None:
        """Remove a volume of the project; its containers must be down."""
        self._engine.docker("volume", "rm", f"{self.name}_{name}")

    async def healthy(self, *services: str) -> None:
        """Wait until these services are healthy."""

        async def probe() -> None:
            for service in services:
                now = await self._condition(service)
                assert now["Health"]["Status"] == "healthy", f"{service}: {json.dumps(now)[-1500:]}"

        await eventually(probe, timeout=UP_SECONDS, interval=1.0, exceptions=(AssertionError, EngineError))

    async def _condition(self, service: str) -> dict[str, Any]:
        # In a thread: whoever publishes meanwhile must not stand still.
        state = await asyncio.to_thread(self.state, service)
        return dict(state["State"])


def _compose_command(engine: Engine) -> list[str | Path]:
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            engine.run([*command, "version"], timeout=30.0)
        except (EngineError, FileNotFoundError):
            continue
        return [*command]
    raise EngineError("the engine has no compose: install the plugin, or Debian's package docker-compose")
