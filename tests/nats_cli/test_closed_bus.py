"""The last part of docs/nats-cli.md: what looks at a closed bus, and what is refused there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from harness.terminal import Terminal, find_nats
from nats_cli.test_page import CLOSED, steps
from precedent_backend_adapter import SecurityEvent
from security.closed_bus import TEAM, closed_bus, closed_stack

if TYPE_CHECKING:
    from pathlib import Path

    from security.closed_bus import ClosedBus

WAIT: Final = 30.0


def correct_addresses(bus: ClosedBus) -> None:
    """Write the port that was free into the settings of every user, as if the plan had named it."""
    for path in (bus.directory / TEAM).glob("*.env"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(f"{bus.plan.hosts[0]}:{bus.plan.port}", f"127.0.0.1:{bus.server.port}"), "utf-8")


@pytest.mark.timeout(300)
async def test_the_page_is_true_on_a_closed_bus(tmp_path: Path) -> None:
    """With the viewer's and the auditor's keys, each command prints or is refused as the page says."""
    with closed_bus(tmp_path / "keys") as bus:
        async with closed_stack(bus, tmp_path / "chroma"):
            async with bus.precedent("backend") as backend, bus.precedent("analyst") as analyst:
                event = SecurityEvent(kind="auth.brute_force", text="5000 failed logins for admin in 30 s")
                receipt = await backend.publish(event)
                await analyst.search("logins", after=receipt, wait=WAIT)
            correct_addresses(bus)
            home = tmp_path / "home"
            home.mkdir()
            terminal = Terminal(home, (find_nats(),), variables={"DIR": str(bus.directory)})
            for step in steps():
                if step.section == CLOSED:
                    await terminal.run(step)
