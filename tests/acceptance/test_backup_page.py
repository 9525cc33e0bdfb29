"""docs/backup.md: its commands are run in its order, from the backups to a site that lost both disks."""

import shlex
import shutil
from pathlib import Path
from typing import Final

import pytest

from harness.console import Step, read_steps, shown
from harness.indexer_process import IndexerProcess
from harness.nats_server import NatsServer
from harness.stream_backup import back_up_stream, restore_stream
from harness.terminal import Terminal
from harness.wire import Wire

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "backup.md"
SECTIONS: Final = ("Take backups", "Restore the index", "Both disks are lost")


async def nats(step: Step, url: str, folder: Path) -> None:
    """What the `nats` command does, without it: it is not on every machine."""
    match shlex.split(step.command):
        case ["nats", "backup", "stream", stream, directory, "--no-progress"]:
            async with Wire.connected(url) as wire:
                await back_up_stream(wire.client, stream, folder / directory)
        case ["nats", "backup", "restore", "stream", directory, "--no-progress"]:
            async with Wire.connected(url) as wire:
                await restore_stream(wire.client, folder / directory)
        case _:
            pytest.fail(f"{step.where}: nobody has tried {step.command!r}")


@pytest.mark.timeout(300)
async def test_the_page_is_true(tmp_path: Path) -> None:
    """Every command ends well and prints what the page shows, and in the end everything is found again."""
    steps = read_steps(PAGE.name, PAGE.read_text(encoding="utf-8"))
    parts = {section: [step for step in steps if step.section == section] for section in SECTIONS}
    assert sum(map(len, parts.values())) == len(steps)
    assert [step.where for step in steps if not step.command.startswith("nats ") and not shown(step.printed)] == []
    (tmp_path / "backups").mkdir()
    volumes = [tmp_path / "jetstream", tmp_path / "chroma"]
    with NatsServer(volumes[0]) as server:
        indexer = IndexerProcess(server.url, volumes[1], log_path=tmp_path / "indexer.log")
        variables = {"NATS_URL": server.url, "PRECEDENT_CHROMA_PATH": str(volumes[1])}
        terminal = Terminal(tmp_path, variables=variables)

        async def type_in(*typed: Step) -> None:
            for step in typed:
                await (nats(step, server.url, tmp_path) if step.command.startswith("nats ") else terminal.run(step))

        async with indexer, Wire.connected(server.url) as wire:
            for number in range(5):
                await wire.event("incidents", f"event {number}", id=f"e{number}")
            await wire.covered(await wire.outcome("incidents", "e1", "benign"))
            await type_in(*parts["Take backups"])
        await type_in(*parts["Restore the index"])
        server.kill()
        for volume in volumes:
            shutil.rmtree(volume)
            volume.mkdir()
        server.start()
        *restoring, health, verify = parts["Both disks are lost"]
        await type_in(*restoring)
        async with indexer, Wire.connected(server.url) as wire:
            await wire.covered(6)
            await type_in(health, verify)
            assert await wire.listed("incidents") == [f"e{number}" for number in range(5)]
            assert await wire.found("incidents", text="event 3", k=1) == ["e3"]
