"""The outbox of a publisher: whatever is killed, cut or filled, what a publish returned for is in the log once."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from faults.conftest import NewRigged
from faults.disks import Disk
from faults.log import assert_once_and_in_order, ids_in_log, last_seq, make_log
from harness.child_process import ChildProcess, scrubbed_environment
from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.waits import eventually
from harness.wire import Wire
from precedent_backend_adapter import (
    Backoff,
    Config,
    NotDelivered,
    NotDeliveredReason,
    OutboxConfig,
    OutboxStatus,
    Outcome,
    Precedent,
    SecurityEvent,
    Timeouts,
    Verdict,
)

PROGRAM: Final = Path(__file__).parent / "inside" / "outbox_publisher.py"
SECONDS: Final = 90.0
KILLS: Final = 12
WINDOW_S: Final = 2
"""How long the log remembers message ids, where a test does not wait for ten minutes."""


def event(number: int) -> SecurityEvent:
    """One of many."""
    return SecurityEvent(kind="fault", text=f"failed login number {number}", id=f"e-{number}")


def ids(count: int) -> list[str]:
    """The ids of the first so many."""
    return [f"e-{number}" for number in range(count)]


@pytest.fixture
async def log(own_wire: Wire) -> Wire:
    """The log, empty."""
    await make_log(own_wire)
    return own_wire


@pytest.fixture
async def relay(server: NatsServer) -> AsyncIterator[TcpRelay]:
    """A link to the server that can break."""
    async with TcpRelay(server.port) as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A client that keeps what it publishes, and does not wait long for anything."""
    return Config(
        outbox=OutboxConfig(path=tmp_path / "outbox"),
        timeouts=Timeouts(connect=1, publish_attempt=1),
        backoff=Backoff(first=0.02, cap=0.2),
    )


class Backends:
    """Backends with an outbox, one after the other on one file, as programs of their own.

    Args:
        python: interpreter of the adapter's environment.
        folder: holds the outbox, and what each backend was told.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        self.outbox = folder / "outbox"
        self._python = python
        self._ledger = folder / "ledger"
        self._process = ChildProcess("backend", folder / "backend.log")
        self._runs = 0

    def start(self, url: str, count: int = 0) -> ChildProcess:
        """Start the next one; it publishes `count` events by each of its workers, or for ever."""
        self._runs += 1
        command: list[str | Path] = [self._python, "-I", "-W", "error", PROGRAM, url, self.outbox, self._ledger]
        self._process.spawn([*command, str(self._runs), str(count)], scrubbed_environment({}))
        return self._process

    def taken(self) -> list[str]:
        """The id of every event whose publish returned, in the order of returning."""
        return self._ledger.read_text(encoding="utf-8").splitlines() if self._ledger.exists() else []

    async def take(self, more: int) -> None:
        """Wait until so many more were taken."""
        least = len(self.taken()) + more

        def probe() -> None:
            assert self._process.running, self._process.log_tail()
            assert len(self.taken()) >= least

        await eventually(probe, timeout=SECONDS, interval=0.002)

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()

    async def finish(self, url: str) -> None:
        """Have a last one deliver everything, and end by itself."""
        process = self.start(url, count=1)
        code = await asyncio.to_thread(process.wait, SECONDS)
        assert code == 0, process.log_tail()

    def check(self, found: list[str]) -> None:
        """What was taken is in the log once, each worker's in its order; what was not taken at most once."""
        taken = self.taken()
        assert max(Counter(found).values()) == 1
        of_worker: dict[str, list[str]] = defaultdict(list)
        for one in taken:
            of_worker[one.rpartition("-")[0]].append(one)
        for of_one in of_worker.values():
            assert_once_and_in_order(found, of_one)


@pytest.fixture
def backends(environment_python: Callable[[str], Path], tmp_path: Path) -> Iterator[Backends]:
    """Backends that are killed at the end of the test."""
    made = Backends(environment_python("services/backend-adapter"), tmp_path)
    yield made
    made.kill()


async def status(precedent: Precedent) -> OutboxStatus:
    """Of a client that has an outbox."""
    found = await precedent.outbox_status()
    assert found is not None
    return found


async def test_a_backend_starts_and_publishes_without_a_server(
    log: Wire, server: NatsServer, config: Config, tmp_path: Path
) -> None:
    """With the server down, connect and publish succeed; with it back, everything is there in order, outcomes too."""
    server.kill()
    async with Precedent.connect(server.url, config=config) as precedent:
        receipts = [await precedent.publish(event(number)) for number in range(300)]
        decided = await precedent.publish_outcome(Outcome(event_id="e-0", verdict=Verdict.BENIGN))
        assert (await status(precedent)).waiting == 301
        assert not decided.is_delivered

        async def told() -> None:
            assert (await status(precedent)).fault is not None

        await eventually(told, timeout=SECONDS)
        await asyncio.to_thread(server.start)
        assert (await decided.delivered()).seq == 301
        assert [(await one.delivered()).seq for one in receipts] == list(range(1, 301))
        assert (await status(precedent)).waiting == 0
    assert_once_and_in_order(await ids_in_log(log), [*ids(300), "outcome of e-0"])


async def test_a_server_killed_under_load_has_everything_in_order(
    log: Wire, server: NatsServer, config: Config
) -> None:
    """Killed and started again while the outbox delivers: in the order of publishing, once each."""
    total = 3000
    async with Precedent.connect(server.url, config=config) as precedent:
        publishing = asyncio.create_task(precedent.publish_many(event(number) for number in range(total)))
        for part in (1, 2, 3, 4):

            async def advanced(least: int = part * total // 6) -> None:
                assert await last_seq(log) >= least

            await eventually(advanced, timeout=SECONDS, interval=0.002)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        report = await (await publishing).delivered()
    assert report.failures == {}
    assert_once_and_in_order(await ids_in_log(log), ids(total))


async def test_acknowledgements_lost_again_and_again_double_nothing(log: Wire, relay: TcpRelay, config: Config) -> None:
    """Stored and never told so, a window goes out anew after each cut, and is in the log once and in order."""
    part, parts = 400, 5
    async with Precedent.connect(relay.url, config=config) as precedent:
        for begin in range(0, part * parts, part):
            relay.withhold_answers()
            report = await precedent.publish_many(event(number) for number in range(begin, begin + part))

            async def stored_unheard(least: int = begin + 1) -> None:
                assert await last_seq(log) >= least

            await eventually(stored_unheard, timeout=SECONDS, interval=0.002)
            await relay.cut()
            relay.resume()
            await relay.restore()
            report = await report.delivered()
            assert report.failures == {}
            assert any(receipt.duplicate for receipt in report.receipts.values())
    assert_once_and_in_order(await ids_in_log(log), ids(part * parts))


async def test_an_outage_longer_than_the_logs_memory_repeats_what_was_on_its_way(
    own_wire: Wire, new_rigged: NewRigged, relay: TcpRelay, config: Config
) -> None:
    """Stored, never told so, and cut off until the log has forgotten its id: there twice, and one event, unchanged."""
    indexer, _ = new_rigged()
    async with indexer:
        await make_log(own_wire, duplicate_window=WINDOW_S * 10**9)
        async with Precedent.connect(relay.url, config=config) as precedent:
            relay.withhold_answers()
            receipt = await precedent.publish(event(0))

            async def stored_unheard() -> None:
                assert await last_seq(own_wire) == 1

            await eventually(stored_unheard, timeout=SECONDS, interval=0.002)
            await relay.cut()
            relay.resume()
            # Nothing says that the log has forgotten: that is what its clock does.
            await asyncio.sleep(2 * WINDOW_S)
            await relay.restore()
            assert (await receipt.delivered()).seq == 2
        assert await ids_in_log(own_wire) == ["e-0", "e-0"]
        await own_wire.covered(2)
        [entry] = (await own_wire.of("incidents", "list"))["events"]
        assert (entry["event"]["id"], entry["event"]["text"], entry["seq"]) == ("e-0", event(0).text, 2)


async def test_a_backend_killed_at_random_loses_and_doubles_nothing(
    log: Wire, server: NatsServer, backends: Backends
) -> None:
    """SIGKILL between write, delivery and removal: what publish returned for is there once, in order."""
    dice = random.Random(5)
    for _ in range(KILLS):
        backends.start(server.url)
        await backends.take(dice.randint(1, 300))
        backends.kill()
    await backends.finish(server.url)
    backends.check(await ids_in_log(log))


async def test_backend_and_server_killed_in_turn_lose_and_double_nothing(
    log: Wire, server: NatsServer, backends: Backends
) -> None:
    """Both crash, at random and in any order, also while the other one is down."""
    dice = random.Random(6)
    for _ in range(KILLS // 2):
        backends.start(server.url)
        await backends.take(dice.randint(1, 200))
        await asyncio.to_thread(server.kill)
        await backends.take(dice.randint(1, 200))
        if dice.random() < 0.5:
            await asyncio.to_thread(server.start)
            backends.kill()
        else:
            backends.kill()
            await asyncio.to_thread(server.start)
    await backends.finish(server.url)
    backends.check(await ids_in_log(log))


async def test_a_second_backend_is_told_and_harms_nothing(log: Wire, server: NatsServer, backends: Backends) -> None:
    """Another process on the same outbox ends at once, naming the file and the remedy; the first one goes on."""
    backends.start(server.url)
    await backends.take(10)
    second = await asyncio.to_thread(run, backends, server.url)
    assert second.returncode != 0
    assert f"the outbox {backends.outbox} is in use by another client" in second.stderr
    assert "give each process and each client an outbox of its own" in second.stderr
    await backends.take(10)
    backends.kill()
    await backends.finish(server.url)
    backends.check(await ids_in_log(log))


def run(backends: Backends, url: str) -> subprocess.CompletedProcess[str]:
    """A second backend on the same outbox."""
    command: list[str | Path] = [backends._python, "-I", PROGRAM, url, backends.outbox]
    command += [f"{backends.outbox}.second", "second", "1"]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=scrubbed_environment({}), timeout=SECONDS
    )


async def test_a_full_log_is_waited_for(log: Wire, server: NatsServer, config: Config) -> None:
    """A stream at its limit holds the outbox up and loses nothing; with room again, everything is there in order."""
    await make_log(log, max_msgs=100)
    async with Precedent.connect(server.url, config=config) as precedent:
        report = await precedent.publish_many(event(number) for number in range(400))
        assert report.failures == {}

        async def stuck() -> None:
            found = await status(precedent)
            assert (found.waiting, found.set_aside) == (300, 0)
            assert "maximum messages exceeded" in str(found.fault)

        await eventually(stuck, timeout=SECONDS)
        await make_log(log, max_msgs=-1)
        await precedent.flush()
    assert_once_and_in_order(await ids_in_log(log), ids(400))


def users(denied: str) -> str:
    """Configuration of a server whose user `backend` may not publish on `denied`."""
    return f"""
    authorization: {{ users: [
      {{ user: ops, password: x }},
      {{ user: backend, password: x, permissions: {{ publish: {{ deny: "{denied}" }} }} }}
    ] }}
    """


async def test_what_may_not_be_published_holds_up_nobody(tmp_path: Path, config: Config) -> None:
    """Denied events are set aside, and those behind them arrive; once permitted, the next client delivers them."""
    store = tmp_path / "jetstream"
    with NatsServer(store, config=users("security.events.v1.rules.>")) as server:
        port = server.port
        async with Wire.connected(server.url.replace("//", "//ops:x@")) as wire:
            await make_log(wire)
        async with Precedent.connect(server.url.replace("//", "//backend:x@"), config=config) as precedent:
            for number in range(20):
                collection = "rules" if number % 2 else "incidents"
                await precedent.publish(event(number).model_copy(update={"collection": collection}))
            await precedent.flush()
            found = await status(precedent)
            assert (found.waiting, found.set_aside) == (0, 10)
    with NatsServer(store, port=port, config=users("nothing")) as server:
        async with Wire.connected(server.url.replace("//", "//ops:x@")) as wire:
            assert await ids_in_log(wire) == ids(20)[::2]
            async with Precedent.connect(server.url.replace("//", "//backend:x@"), config=config) as precedent:
                await precedent.flush()
            assert await ids_in_log(wire) == [*ids(20)[::2], *ids(20)[1::2]]


async def test_a_full_disk_refuses_and_loses_nothing(
    log: Wire, relay: TcpRelay, config: Config, tmp_path: Path
) -> None:
    """Where the disk of the outbox is full, a publish is refused as not taken, and all that was taken is delivered."""
    with Disk(tmp_path / "small", megabytes=2) as disk:
        pid = os.getpid()
        config = Config(
            outbox=OutboxConfig(path=disk.path / "outbox"), timeouts=config.timeouts, backoff=config.backoff
        )
        async with Precedent.connect(relay.url, config=config) as precedent:
            await relay.cut()
            taken = [(await precedent.publish(event(number))).id for number in range(20)]
            disk.fill(pid)
            report = await precedent.publish_many((event(20 + number) for number in range(200)), window=1)
            refused = [one for one in report.failures.values() if isinstance(one, NotDelivered)]
            assert len(refused) == len(report.failures) > 0
            assert {one.reason for one in refused} <= {NotDeliveredReason.OUTBOX_FULL, NotDeliveredReason.OUTBOX_FAILED}
            taken += [one.id for one in report.receipts.values()]
            disk.relieve(pid)
            taken.append((await precedent.republish(refused[0].pending)).id)
            await relay.restore()
            await precedent.flush()
    assert await ids_in_log(log) == taken


async def test_the_command_shows_and_delivers_what_waits(
    log: Wire, server: NatsServer, backends: Backends, environment_python: Callable[[str], Path]
) -> None:
    """`precedent outbox status` says how much waits, and `flush` delivers it without the backend."""
    server.kill()
    backends.start(server.url)
    await backends.take(50)
    command = environment_python("services/backend-adapter").parent / "precedent"

    def precedent(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [str(command), "outbox", *arguments, str(backends.outbox), "--json"]
        return subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            env=scrubbed_environment({"NATS_URL": server.url}),
            timeout=SECONDS,
        )

    said = await asyncio.to_thread(precedent, "status")
    assert json.loads(said.stdout)["waiting"] >= 50
    assert "in use" in (await asyncio.to_thread(precedent, "flush")).stderr
    backends.kill()
    await asyncio.to_thread(server.start)
    said = await asyncio.to_thread(precedent, "flush")
    assert (said.returncode, json.loads(said.stdout)["waiting"]) == (0, 0), said.stderr
    backends.check(await ids_in_log(log))
