"""Three servers as deploy/cluster runs them, on loopback."""

from __future__ import annotations

import contextlib
import random
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import nats.errors

from harness.nats_server import NatsServer
from harness.waits import eventually
from harness.wire import CONSUMER, DEAD_LETTERS, LOG

if TYPE_CHECKING:
    from types import TracebackType

    from harness.wire import Wire

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
SIZE: Final = 3
CURRENT_SECONDS: Final = 90.0
"""Covers two elections, of ten seconds each at most, and the catching up, on a busy machine."""
_HERE: Final = {
    # What a machine with one server has one of. The store is given on the command line, which wants to be alone.
    '  store_dir: "/data"\n': "",
    'http: "127.0.0.1:8222"': 'http: "127.0.0.1:-1"',
}


class Cluster:
    """The servers by name, from the files that are deployed.

    Args:
        folder: holds a store for each.
    """

    def __init__(self, folder: Path) -> None:
        config = _configuration()
        ports = _ports(SIZE)
        routes = {
            f"ROUTE_{number}": f"nats-route://route:s3cret@127.0.0.1:{port}" for number, port in enumerate(ports, 1)
        }
        self.servers = {
            f"nats-{number}": NatsServer(
                folder / f"nats-{number}",
                config=config,
                env={
                    "SERVER_NAME": f"nats-{number}",
                    "CLUSTER_LISTEN": f"127.0.0.1:{port}",
                    "ROUTE_USER": "route",
                    "ROUTE_PASSWORD": "s3cret",
                    **routes,
                },
            )
            for number, port in enumerate(ports, 1)
        }

    @property
    def urls(self) -> list[str]:
        """Of all servers."""
        return [server.url for server in self.servers.values()]

    async def leader(self, wire: Wire) -> str:
        """Name of the server that leads the log."""

        async def probe() -> str:
            name = (await _cluster_of(wire, f"STREAM.INFO.{LOG}")).get("leader")
            assert isinstance(name, str), "the log has no leader"
            return name

        return await eventually(probe, timeout=CURRENT_SECONDS, attempt_timeout=10, exceptions=_PASSING)

    async def all_current(self, wire: Wire) -> None:
        """Wait until both streams and the consumer have all their replicas, each with all that there is."""

        async def probe() -> None:
            for what in (f"STREAM.INFO.{LOG}", f"STREAM.INFO.{DEAD_LETTERS}", f"CONSUMER.INFO.{LOG}.{CONSUMER}"):
                cluster = await _cluster_of(wire, what)
                followers = cluster.get("replicas") or []
                assert {cluster.get("leader"), *(one["name"] for one in followers)} == set(self.servers), cluster
                assert all(one["current"] and not one.get("offline") for one in followers), cluster

        await eventually(probe, timeout=CURRENT_SECONDS, attempt_timeout=10, exceptions=_PASSING)

    def __enter__(self) -> Self:
        try:
            for server in self.servers.values():
                server.start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        for server in self.servers.values():
            server.kill()


_PASSING: Final = (AssertionError, KeyError, nats.errors.Error)


async def _cluster_of(wire: Wire, what: str) -> dict[str, Any]:
    found: dict[str, Any] = (await wire.api(what))["cluster"]
    return found


def _configuration() -> str:
    """The deployed one, with what is included in its place."""
    server = (DEPLOY / "nats" / "server.conf").read_text(encoding="utf-8")
    for deployed, here in _HERE.items():
        assert server.count(deployed) == 1, f"deploy/nats/server.conf has no {deployed!r}"
        server = server.replace(deployed, here)
    node = (DEPLOY / "cluster" / "node.conf").read_text(encoding="utf-8")
    include = 'include "../nats/server.conf"\n'
    assert node.count(include) == 1, f"deploy/cluster/node.conf has no {include!r}"
    return node.replace(include, server)


def _ports(count: int) -> list[int]:
    """Free ports from below those that the kernel gives to outgoing connections.

    While a server is down the others keep dialling its port, and one of those calls could be given that very port.
    """
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randrange(20_000, 30_000)
            probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
        return ports
