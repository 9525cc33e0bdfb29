"""A NATS server that says what a test scripts, byte by byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

INFO = {"server_id": "S", "version": "2.15.0", "max_payload": 1_048_576, "proto": 1, "headers": True, "client_id": 1}
Answer = Callable[[bytes, bytes], bytes]
"""From a line of the client and the subject for the reply to what the server says."""


@asynccontextmanager
async def server(
    answer: Answer | None, info: dict[str, object] | None = None, port: int = 0
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A NATS server that greets, answers PING, and leaves the rest to `answer`; None says nothing at all."""
    heard: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if answer is None:
            await reader.read()
            return
        writer.write(b"INFO " + json.dumps({**INFO, **(info or {})}).encode() + b"\r\n")
        while line := await reader.readline():
            heard.append(line)
            reply_to = b""
            if line.startswith((b"HPUB", b"PUB")):
                words = line.split()
                reply_to = words[2]
                await reader.readexactly(int(words[-1]) + 2)
            said = answer(line, reply_to)
            writer.write(said or (b"PONG\r\n" if line == b"PING\r\n" else b""))
            if said == CUT:
                break
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"nats://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heard
    finally:
        listening.close()
        for writer in writers:
            writer.close()


CUT = b"\r\n"


def acknowledged(reply_to: bytes, seq: int) -> bytes:
    """The log's acknowledgement; the second subscription of a connection is that for replies."""
    body = json.dumps({"stream": "SECURITY_EVENTS", "seq": seq}).encode()
    return b"MSG " + reply_to + b" 2 " + str(len(body)).encode() + b"\r\n" + body + b"\r\n"


def quiet(_line: bytes, _reply_to: bytes) -> bytes:
    """Nothing beyond the handshake."""
    return b""
