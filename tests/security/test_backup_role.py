"""The key for backups saves what the log has, puts it back, and does nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.stream_backup import back_up_stream, restore_stream
from precedent_backend_adapter import SecurityEvent
from security.closed_bus import closed_bus, init

STREAMS = ("SECURITY_EVENTS", "SECURITY_DEAD_LETTERS")


async def test_saved_and_put_back(tmp_path: Path, team_plan: Path) -> None:
    """Both streams, saved on one server, are on another one that has lost its disk as they were."""
    keys = tmp_path / "keys"
    with closed_bus(keys, team_plan) as bus:
        await init(bus)
        async with bus.precedent("backend") as backend:
            for number in range(3):
                await backend.publish(SecurityEvent(kind="auth", text="x" * 30_000, id=f"e{number}"))
        async with bus.client("backup") as (client, complaints):
            for stream in STREAMS:
                await back_up_stream(client, stream, tmp_path / stream)
            assert complaints == []
    shutil.rmtree(keys / "jetstream")
    with closed_bus(keys, team_plan) as bus:
        async with bus.client("backup") as (client, complaints):
            states = [await restore_stream(client, tmp_path / stream) for stream in STREAMS]
            assert complaints == []
        assert [state["messages"] for state in states] == [3, 0]
        async with bus.precedent("backend") as backend:
            assert (await backend.publish(SecurityEvent(kind="auth", text="x"))).seq == 4
