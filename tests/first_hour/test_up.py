"""`make up`: what it keeps, what it says, and what it refuses."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from harness.waits import eventually, free_port
from precedent_backend_adapter import Precedent, SecurityEvent

ROOT: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 90.0
END_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Up:
    """One `make up` that runs."""

    url: str
    said: Callable[[], str]
    process: asyncio.subprocess.Process


def words(target: str, data: Path, *variables: str) -> list[str]:
    """The command line of a target, with the directory of its data."""
    return ["make", target, f"UP_DATA={data}", *variables]


@contextlib.asynccontextmanager
async def up(data: Path, *variables: str) -> AsyncIterator[Up]:
    """`make up` until the end of the block, then Ctrl-C, as a terminal sends it."""
    port, log_path = free_port(), data.parent / "up.log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *words("up", data, f"UP_PORT={port}", *variables),
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def said() -> str:
        return log_path.read_text(encoding="utf-8")

    def is_running() -> None:
        assert f"running on nats://127.0.0.1:{port}" in said()
        assert process.returncode is None

    try:
        await eventually(is_running, timeout=START_SECONDS, interval=0.2)
        yield Up(f"nats://127.0.0.1:{port}", said, process)
    finally:
        # Ctrl-C reaches every process of the terminal's foreground group.
        os.killpg(process.pid, signal.SIGINT)
        code = await asyncio.wait_for(process.wait(), END_SECONDS)
    # `make` itself reports the interrupt, whatever its command made of it.
    assert code in {0, -signal.SIGINT}, said()
    assert "stopping" in said()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def run(target: str, data: Path, *variables: str) -> tuple[int, str]:
    """A target to its end: exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *words(target, data, *variables), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.timeout(300)
async def test_up_keeps_its_data_until_told_to_forget(tmp_path: Path) -> None:
    """It starts empty, keeps an event over Ctrl-C, refuses a second user of port or data, and forgets on demand."""
    data = tmp_path / "kept"
    event = SecurityEvent(kind="auth.brute_force", text="5000 failed logins for admin in 30 s", id="kept-1")
    async with up(data) as first, Precedent.connect(first.url) as precedent:
        assert f"new and empty, in {data}; the demonstration's events: make up DEMO=1" in first.said()
        receipt = await precedent.publish(event)
        assert receipt.seq == 1
        await precedent.search("failed logins", after=receipt, wait=30)
        port = first.url.rpartition(":")[2]
        code, said = await run("up", tmp_path / "second", f"UP_PORT={port}")
        assert (code, f"make up UP_PORT={int(port) + 1}" in said) == (2, True), said
        code, said = await run("up-clean", data)
        assert (code, f"{data} is in use by another `make up`" in said) == (2, True), said
    async with up(data, "DEMO=1") as second, Precedent.connect(second.url) as precedent:
        assert (
            f"kept from before, in {data}: 1 message in the log; to forget: make up-clean UP_DATA={data}"
            in second.said()
        )
        assert (await precedent.get(["kept-1", "evt-0001"])).missing == []
    code, said = await run("up-clean", data)
    assert (code, f"{data}: forgotten" in said) == (0, True), said
    assert [path.name for path in data.iterdir()] == ["lock"]
