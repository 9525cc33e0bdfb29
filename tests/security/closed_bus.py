"""A closed deployment as `make keys` writes it, on a real server, and connections of its users."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nats

from closed_nats.plan import Plan, read_plan
from closed_nats.user_keys import new_seed, public_key
from harness.child_process import scrubbed_environment
from harness.indexer_process import IndexerProcess, run_indexer_command
from harness.nats_server import NatsServer
from precedent_backend_adapter import Precedent, Timeouts
from precedent_backend_adapter.config.environment import config_from_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from nats.aio.client import Client

ROOT = Path(__file__).resolve().parents[2]
NATS = ROOT / "deploy" / "nats"
PRECEDENT = ROOT / "services" / "backend-adapter" / ".venv" / "bin" / "precedent"
ONE_TEAM = NATS / "plans" / "one-team.toml"
TWO_TENANTS = NATS / "plans" / "two-tenants.toml"
TEAM = "PRECEDENT"

# Seconds for whatever a busy machine should have done by then, and for as long as a question may wait for the index.
WAIT = 60.0
INDEX_WAIT = 30.0
# Longer than a test may take: who waits for a timeout instead of failing at once is noticed.
NEVER = 600.0
PATIENT = Timeouts(connect=NEVER, publish=NEVER, publish_attempt=NEVER, question=NEVER)


def make_keys(directory: Path, plan: Path) -> str:
    """Run the command behind `make keys`; what it said."""
    command = [sys.executable, str(NATS / "make_keys.py"), "--dir", str(directory), "--plan", str(plan)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_settings(path: Path) -> dict[str, str]:
    """The variables of a user's file of settings."""
    lines = [shlex.split(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(words[0] == "export" and len(words) == 2 for words in lines)
    return dict(words[1].split("=", 1) for words in lines)


@dataclass(frozen=True, slots=True)
class ClosedBus:
    """The server, running, and the directory of its deployment."""

    directory: Path
    plan: Plan
    server: NatsServer

    @property
    def url(self) -> str:
        """Where it listens, with TLS demanded."""
        return f"tls://127.0.0.1:{self.server.port}"

    def settings(self, user: str, account: str = TEAM, **changes: str) -> dict[str, str]:
        """What a user's processes are given; the port is the one that was free."""
        written = read_settings(self.directory / account / f"{user}.env")
        assert written["NATS_URL"] == f"tls://{self.plan.hosts[0]}:{self.plan.port}"
        return {**written, "NATS_URL": self.url, **changes}

    def revoke(self, user: str, account: str = TEAM) -> Callable[[], None]:
        """Take a user's key away while the server runs, as a new plan and a reload do; the result undoes it."""
        configuration = self.server.store_dir / "nats-server.conf"
        key = public_key((self.directory / account / f"{user}.nk").read_bytes())
        text = configuration.read_text(encoding="utf-8")
        assert key in text

        def reload(changed: str) -> None:
            configuration.write_text(changed, encoding="utf-8")
            os.kill(self.server.pid, signal.SIGHUP)

        reload(text.replace(key, public_key(new_seed())))
        return lambda: reload(text)

    @contextlib.asynccontextmanager
    async def precedent(self, user: str, account: str = TEAM, **changes: str) -> AsyncIterator[Precedent]:
        """The backend's client as a user."""
        urls, config = config_from_environment(self.settings(user, account, **changes))
        async with Precedent.connect(urls, config=replace(config, timeouts=PATIENT)) as precedent:
            yield precedent

    def options(self, user: str, account: str = TEAM) -> dict[str, Any]:
        """What the plain client is given to be a user."""
        settings = self.settings(user, account)
        context = ssl.create_default_context(cafile=settings["NATS_CA"])
        if "NATS_CERT" in settings:
            context.load_cert_chain(settings["NATS_CERT"], settings["NATS_KEY"])
        return {
            "nkeys_seed": settings["NATS_NKEY"],
            "inbox_prefix": settings["NATS_INBOX_PREFIX"].encode(),
            "tls": context,
        }

    @contextlib.asynccontextmanager
    async def client(self, user: str, account: str = TEAM) -> AsyncIterator[tuple[Client, list[str]]]:
        """The plain client as a user, and what the server complained about, as it comes."""
        complaints: list[str] = []

        async def note(error: Exception) -> None:
            complaints.append(str(error))

        options = self.options(user, account)
        client = await nats.connect(self.url, error_cb=note, allow_reconnect=False, connect_timeout=20, **options)
        try:
            yield client, complaints
        finally:
            await client.close()

    def indexer(self, directory: Path, user: str = "indexer", account: str = TEAM, **changes: str) -> IndexerProcess:
        """An indexer as a user, not started yet; a viewer asks whether it is ready."""
        return IndexerProcess(
            self.url,
            directory,
            env=self.settings(user, account, **changes),
            log_path=log_of(directory),
            probe_options=self.options("viewer", account),
        )


async def begin_precedent(*words: str, settings: dict[str, str]) -> asyncio.subprocess.Process:
    """Start the command `precedent`, with its output in pipes."""
    pipe = subprocess.PIPE
    environment = scrubbed_environment(settings)
    return await asyncio.create_subprocess_exec(PRECEDENT, *words, env=environment, stdout=pipe, stderr=pipe)


async def run_precedent(*words: str, settings: dict[str, str]) -> tuple[int | None, str, str]:
    """Run the command `precedent` to its end; its exit code, and what it said on stdout and stderr."""
    running = await begin_precedent(*words, settings=settings)
    try:
        async with asyncio.timeout(WAIT):
            out, err = await running.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
    return running.returncode, out.decode(), err.decode()


def log_of(directory: Path) -> Path:
    """Where an indexer with this index directory writes what it has to say."""
    return directory.with_suffix(".log")


@dataclass(frozen=True, slots=True)
class ClosedStack:
    """A closed bus whose streams the operator has made, and the indexer of one account on it, running."""

    bus: ClosedBus
    indexer: IndexerProcess
    log_path: Path

    def denied(self) -> list[str]:
        """What the indexer says that it was denied."""
        return [line for line in self.log_path.read_text(encoding="utf-8").splitlines() if "nats_denied" in line]


@contextlib.asynccontextmanager
async def closed_stack(bus: ClosedBus, directory: Path, account: str = TEAM) -> AsyncIterator[ClosedStack]:
    """Make the streams as the operator of the account, and serve as its indexer."""
    await init(bus, account)
    async with bus.indexer(directory, account=account) as indexer:
        yield ClosedStack(bus, indexer, log_of(directory))


async def init(bus: ClosedBus, account: str = TEAM, **changes: str) -> None:
    """Make the streams and the consumer, as the operator of the account."""
    done = await asyncio.to_thread(run_indexer_command, ["init"], bus.settings("operator", account, **changes))
    assert done.returncode == 0, done.stderr


async def settled(client: Client) -> None:
    """Return when the server has taken in what was sent before, and has complained of it where it does."""
    # The client's ping overtakes what lies in its own buffer: the first makes that leave, the second follows it.
    await client.flush()
    await client.flush()


@contextlib.contextmanager
def closed_bus(directory: Path, plan: Path = ONE_TEAM) -> Iterator[ClosedBus]:
    """Make keys in `directory` and run the server with the configuration that comes with them."""
    make_keys(directory, plan)
    with running(directory, plan) as bus:
        yield bus


@contextlib.contextmanager
def running(directory: Path, plan: Path, *, without: Sequence[str] = ()) -> Iterator[ClosedBus]:
    """Run the server of a deployment that is made; `without` some lines of its configuration."""
    lines = (directory / "server.conf").read_text(encoding="utf-8").splitlines()
    for one in without:
        assert one in [line.strip() for line in lines], f"no line {one!r} in server.conf"
    # The harness gives address, port and store on the command line, and the store may be named once only.
    kept = [line for line in lines if line.strip() not in without and not line.strip().startswith("store_dir:")]
    with NatsServer(directory / "jetstream", config="\n".join(kept)) as server:
        yield ClosedBus(directory, read_plan(plan), server)
