"""Whatever bytes a message is made of, it is handed over, and the connection goes on."""

import asyncio

import pytest
from nats.aio.transport import TcpTransport

from precedent_indexer.adapters.nats.connection.client import TolerantClient

PURGE = b"$JS.API.STREAM.PURGE.SECURITY_EVENTS"


def message(subject: bytes, reply: bytes = b"_INBOX.asker") -> tuple[str, str] | None:
    """Subject and reply of a message as it is handed over; None where it is not."""
    found = TolerantClient()._build_message(1, subject, reply, b"{}", None)
    return None if found is None else (found.subject, found.reply)


def test_bytes_that_are_not_utf8_come_through() -> None:
    """In the subject and in the reply, and so that no two of them become the same."""
    assert message(b"security.events.v1.a\xff") == ("security.events.v1.a\udcff", "_INBOX.asker")
    assert message(b"security.index.v1.a.search", b"_INBOX.\xff\xfe") == (
        "security.index.v1.a.search",
        "_INBOX.\udcff\udcfe",
    )


@pytest.mark.parametrize("subject", [b"security.index.v1.a.search", b"security.deadletters.v1.list", b"$SRV.PING"])
@pytest.mark.parametrize("reply", [PURGE, b"$JS.ACK.x", b"security.deletions.v1.incidents", b"security.index.v1.stats"])
def test_no_answer_is_carried_where_something_happens(subject: bytes, reply: bytes) -> None:
    """A question whose reply subject belongs to the server or to us is dropped: an answer there would be an order."""
    assert message(subject, reply) is None


def test_deliveries_keep_their_acknowledgement() -> None:
    """A message of the log is no question: its reply subject is where it is acknowledged."""
    ack = b"$JS.ACK.SECURITY_EVENTS.indexer.1.2.3.4.5"
    assert message(b"security.events.v1.incidents.auth", ack) == ("security.events.v1.incidents.auth", ack.decode())


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"NATS/1.0\r\nA: b\r\n\r\n", {"A": "b"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (b"NATS/1.0 \xff\xfe\xfd\r\nNats-Sequence: 7\r\n\r\n", {"Nats-Sequence": "7"}),
        (b"NATS/1.0 404 \xff\xfe\r\nNats-Sequence: 7\r\n\r\n", {"Nats-Sequence": "7"}),
        (b"NATS/1.0", None),
        (b"", None),
    ],
)
async def test_header_blocks(block: bytes, expected: dict[str, str] | None) -> None:
    """A status line that is not UTF-8 is passed over; the headers behind it, the server's among them, are read."""
    assert await TolerantClient()._process_headers(block) == expected


async def test_what_the_server_denies_is_named_as_it_is() -> None:
    """Subjects of JetStream are upper case, and a person who looks for one must find it."""
    told: list[str] = []
    denied = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "fake", "version": "2.15.0", "headers": true, "max_payload": 1000}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
            if line.startswith(b"SUB"):
                writer.write(b"-ERR 'Permissions Violation for Subscription to \"" + line.split()[1] + b"\"'\r\n")
        writer.close()

    async def note(error: Exception) -> None:
        told.append(str(error))
        denied.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = TolerantClient()
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await client.connect(url, allow_reconnect=False, error_cb=note)
        await client.subscribe("$JS.API.STREAM.INFO.S")
        await denied.wait()
        assert client.is_connected
        await client.close()
    assert told == ['nats: Permissions Violation for Subscription to "$JS.API.STREAM.INFO.S"']


async def test_a_close_is_told_although_its_last_write_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server has gone before what is buffered could leave: whoever waits for the end of the connection is told."""
    closed = asyncio.Event()

    async def note() -> None:
        closed.set()

    async def fail(_transport: TcpTransport) -> None:
        raise ConnectionResetError("Connection lost")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "fake", "version": "2.15.0", "headers": true, "max_payload": 1000}\r\n')
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = TolerantClient()
        url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await client.connect(url, allow_reconnect=False, closed_cb=note)
        monkeypatch.setattr(TcpTransport, "drain", fail)
        await client.publish("a", b"never leaves")
        await client.close()
        assert client.is_closed
        await asyncio.wait_for(closed.wait(), 30)


async def test_a_flush_overtakes_nothing() -> None:
    """When it returns, the server has taken in what was sent before it: the end of a subscription, for one."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id": "fake", "version": "2.15.0", "headers": true, "max_payload": 1000}\r\n')
        while line := await reader.readline():
            heard.append(line.split()[0])
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = TolerantClient()
        await client.connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", allow_reconnect=False)
        subscription = await client.subscribe("a")
        await client.flush()
        heard.clear()
        await subscription.unsubscribe()
        await client.flush()
        await client.close()
    assert heard == [b"UNSUB", b"PING"]
