"""Where the old client connects to, when, and how often."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from precedent_backend_adapter import Config, Credentials, Misconfigured, Unavailable
from precedent_backend_adapter import compat as old
from precedent_backend_adapter.compat import SimpleRAG, _simple_rag
from precedent_backend_adapter.config.environment import NAMES
from precedent_backend_adapter.testing import InMemoryPrecedent


class Connections:
    """Stands in for `Precedent`: counts what is opened and left."""

    def __init__(self) -> None:
        self.opened: list[tuple[list[str], Config]] = []
        self.left = 0
        self.refuse = False

    @asynccontextmanager
    async def connect(self, urls: list[str], *, config: Config) -> AsyncIterator[InMemoryPrecedent]:
        """Connect, not before others had a chance to ask as well."""
        await asyncio.sleep(0)
        if self.refuse:
            raise Unavailable("no server")
        self.opened.append((urls, config))
        yield InMemoryPrecedent()
        self.left += 1


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> Connections:
    """What the old client opens, in an environment without settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    made = Connections()
    monkeypatch.setattr(_simple_rag, "Precedent", made)
    return made


async def test_a_client_connects_at_its_first_call_and_once(connections: Connections) -> None:
    """Making one costs nothing; calls at the same time share one connection."""
    client = SimpleRAG()
    assert connections.opened == []
    await asyncio.gather(*(client.get_stats() for _ in range(5)))
    assert connections.opened == [(["nats://127.0.0.1:4222"], Config())]


async def test_the_environment_says_where_unless_the_constructor_does(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL, or several, given to the constructor replaces `NATS_URL` alone; an empty one counts as none."""
    monkeypatch.setenv("NATS_URL", "nats://env:4222")
    monkeypatch.setenv("NATS_USER", "backend")
    monkeypatch.setenv("NATS_PASSWORD", "hunter2")
    for client in (SimpleRAG(), SimpleRAG(""), SimpleRAG("nats://a:4222, nats://b:4222")):
        await client.get_stats()
    assert [urls for urls, _ in connections.opened] == [
        ["nats://env:4222"],
        ["nats://env:4222"],
        ["nats://a:4222", "nats://b:4222"],
    ]
    config = Config(credentials=Credentials(user="backend", password="hunter2"))
    assert all(found == config for _, found in connections.opened)


def test_the_address_of_the_old_service_is_refused_at_once() -> None:
    """Somebody who passes the old URL on learns of it where it is passed."""
    with pytest.raises(Misconfigured, match=r"HTTP service.*leave the URL out and set NATS_URL=nats://host:4222"):
        SimpleRAG("http://localhost:9000")


async def test_a_failed_connection_is_tried_again_by_the_next_call(connections: Connections) -> None:
    """A server that was down at the first call is no reason to fail for ever."""
    client = SimpleRAG()
    connections.refuse = True
    with pytest.raises(Unavailable):
        await client.get_stats()
    connections.refuse = False
    await client.get_stats()
    assert len(connections.opened) == 1


async def test_close_leaves_and_a_later_call_connects_again(connections: Connections) -> None:
    """Closing twice, or without a connection, is no error; `async with` closes."""
    client = SimpleRAG()
    await client.close()
    async with client as same:
        assert same is client
        await client.get_stats()
    await client.close()
    assert (len(connections.opened), connections.left) == (1, 1)
    await client.get_stats()
    assert len(connections.opened) == 2


def test_every_event_loop_has_its_own_connection(connections: Connections) -> None:
    """One client serves several loops one after the other, also where nobody closed; ended loops are forgotten."""
    client = SimpleRAG()
    for _ in range(3):
        asyncio.run(client.get_stats())
    gc.collect()
    assert len(connections.opened) == 3
    assert len(client._clients._held) == 1


async def test_the_shared_client_of_the_functions_can_be_left(connections: Connections) -> None:
    """All functions share one connection of the loop, and `close` leaves it."""
    await old.get_rag_stats()
    await old.get_all_flagged_items()
    await old.rag.get_rules()
    await old.close()
    assert (len(connections.opened), connections.left) == (1, 1)


async def test_a_client_that_was_given_stays_its_owners() -> None:
    """`over` uses a client and never closes it."""
    precedent = InMemoryPrecedent()
    async with SimpleRAG.over(precedent) as client:
        item_id = await client.add_item("x", "u", "10.0.0.1", 1)
    assert (await precedent.get([item_id])).missing == []
