"""The protocol of NATS by hand: a publisher that no client library keeps from anything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER_SECONDS = 20.0
_LINE_LIMIT = 1024 * 1024
# What the server says of a subject with a wildcard in it, while it delivers and stores the message.
_STORED_ALL_THE_SAME = b"-ERR 'Invalid Publish Subject'"


class ServerRefusedError(Exception):
    """The server said so, or cut the connection."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One message that came back: its header block and its payload."""

    headers: bytes
    data: bytes

    @property
    def nobody_listens(self) -> bool:
        """Whether it is the server's word that there was nobody to ask."""
        return self.headers.startswith(b"NATS/1.0 503")


class RawNats:
    """One connection, from bytes to bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._inbox = f"_INBOX.{secrets.token_hex(8)}".encode()

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, port: int, user: str, password: str) -> AsyncIterator[Self]:
        """A connection for as long as the block runs."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LINE_LIMIT)
        raw = cls(reader, writer)
        try:
            await raw._begin(user, password)
            yield raw
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _begin(self, user: str, password: str) -> None:
        await self._reader.readline()
        options = {"verbose": False, "headers": True, "no_responders": True, "user": user, "pass": password}
        options |= {"protocol": 1, "lang": "raw", "version": "0"}
        self._writer.write(f"CONNECT {json.dumps(options)}\r\nSUB ".encode() + self._inbox + b" 1\r\nPING\r\n")
        while (await self._line()) != b"PONG":
            pass

    async def request(
        self, subject: bytes, payload: bytes, *, headers: bytes = b"", reply: bytes | None = None
    ) -> Answer | None:
        """Send, and what comes back; None where `reply` sends the answer elsewhere: then only that the server took it.

        Raises:
            ServerRefusedError: it did not.
            TimeoutError: nobody answered.
        """
        self._write(subject, payload, headers, self._inbox if reply is None else reply)
        async with asyncio.timeout(ANSWER_SECONDS):
            if reply is None:
                return await self._until_answered()
            await self._until_taken()
            return None

    def _write(self, subject: bytes, payload: bytes, headers: bytes, reply: bytes) -> None:
        to = subject + (b" " + reply if reply else b"")
        if headers:
            line = b"HPUB %b %d %d\r\n" % (to, len(headers), len(headers) + len(payload))
        else:
            line = b"PUB %b %d\r\n" % (to, len(payload))
        self._writer.write(line + headers + payload + b"\r\n")

    async def _until_answered(self) -> Answer:
        while True:
            line = await self._line()
            if line.startswith((b"MSG ", b"HMSG ")):
                return await self._message(line)

    async def _until_taken(self) -> None:
        self._writer.write(b"PING\r\n")
        while (await self._line()) != b"PONG":
            pass

    async def _message(self, line: bytes) -> Answer:
        numbers = line.split()[-2:] if line.startswith(b"HMSG") else [b"0", line.split()[-1]]
        of_headers, of_all = map(int, numbers)
        block = await self._reader.readexactly(of_all + 2)
        return Answer(block[:of_headers], block[of_headers:of_all])

    async def _line(self) -> bytes:
        try:
            await self._writer.drain()
            line = (await self._reader.readuntil(b"\r\n")).rstrip()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise ServerRefusedError("the server cut the connection") from error
        if line.startswith(b"-ERR") and line != _STORED_ALL_THE_SAME:
            raise ServerRefusedError(line.decode(errors="replace"))
        if line == b"PING":
            self._writer.write(b"PONG\r\n")
        return line
