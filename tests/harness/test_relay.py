"""The link that other tests cut and stall does that, and nothing else."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nats
import pytest

from harness.nats_server import NatsServer
from harness.relay import TcpRelay
from harness.stand_ins import ask, connect
from harness.waits import free_port


async def test_relay_stalls_and_resumes(tmp_path: Path) -> None:
    """A stalled link stays connected and passes nothing; resumed, it delivers what was held back."""
    with NatsServer(tmp_path) as server:
        async with TcpRelay(server.port) as relay:
            client = await connect(relay.url)
            relay.stall()
            with pytest.raises(nats.errors.TimeoutError):
                await ask(client, timeout=1)
            assert client.is_connected
            relay.resume()
            await ask(client, timeout=10)
            await client.close()


async def test_relay_withholds_answers_alone(tmp_path: Path) -> None:
    """What a client sends arrives, and its answer does not until the relay is resumed."""
    with NatsServer(tmp_path) as server:
        async with TcpRelay(server.port) as relay:
            client, other = await connect(relay.url), await connect(server.url)
            heard = await other.subscribe("said")
            await other.flush()
            relay.withhold_answers()
            await client.publish("said", b"words")
            assert (await heard.next_msg(timeout=10)).data == b"words"
            with pytest.raises(nats.errors.TimeoutError):
                await ask(client, timeout=1)
            relay.resume()
            await ask(client, timeout=10)
            await client.close()
            await other.close()


async def test_relay_cuts_and_restores(tmp_path: Path) -> None:
    """A cut drops connections and refuses new ones; restored, the same port works again."""
    with NatsServer(tmp_path) as server:
        async with TcpRelay(server.port) as relay:
            port = relay.port
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert (await reader.readline()).startswith(b"INFO")
            await relay.cut()
            assert relay.connections == 0
            assert await reader.read() == b""
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await relay.restore()
            assert relay.port == port
            client = await connect(relay.url)
            await ask(client, timeout=10)
            await client.close()


async def test_relay_passes_a_large_stream_and_its_end() -> None:
    """Bytes arrive whole and in order, and the end of one direction leaves the other open."""
    payload = os.urandom(5_000_000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received = await reader.read()
        writer.write(received)
        writer.write_eof()
        await writer.drain()
        writer.close()

    target = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with target, TcpRelay(target.sockets[0].getsockname()[1]) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(payload)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == payload
        writer.close()


async def test_relay_without_a_target_ends_the_connection() -> None:
    """A target that refuses looks like a connection that ends at once."""
    async with TcpRelay(free_port()) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
