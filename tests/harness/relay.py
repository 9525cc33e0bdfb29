"""A TCP link that can hang, break and heal."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_CHUNK_BYTES = 64 * 1024


class TcpRelay:
    """Forwards a port of 127.0.0.1 to a target, until told to do it badly.

    An async context manager; it runs in the event loop that entered it, so nothing may block that loop. Bytes
    that arrive while stalled are forwarded on resume, in order; bytes in hand at a cut are lost.

    Args:
        target_port: Where connections are forwarded to.
        target_host: The same.
    """

    def __init__(self, target_port: int, *, target_host: str = "127.0.0.1") -> None:
        self._target = (target_host, target_port)
        self._port: int | None = None
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._answering = asyncio.Event()
        self._answering.set()
        self._links: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port to connect to; the same through every cut.

        Raises:
            RuntimeError: The relay was never entered.
        """
        if self._port is None:
            raise RuntimeError("the relay has no port before it is entered; use `async with`")
        return self._port

    @property
    def url(self) -> str:
        """The NATS URL of the relay."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def stall(self) -> None:
        """Forward nothing more; connections stay, and new ones are accepted but lead nowhere."""
        self._flowing.clear()

    def withhold_answers(self) -> None:
        """Forward what clients send, and nothing of what they are answered; a cut then loses it."""
        self._answering.clear()

    def resume(self) -> None:
        """Forward again, first what came while stalled."""
        self._flowing.set()
        self._answering.set()

    async def cut(self) -> None:
        """Drop every connection and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
            # Bound but not listening: connections are refused, and nobody else can take the port.
            self._placeholder = self._bind(self.port)
        await self._drop_links()

    async def restore(self) -> None:
        """Accept connections again after a cut; nothing when there was none."""
        if self._server is None and self._placeholder is not None:
            listener, self._placeholder = self._placeholder, None
            self._server = await asyncio.start_server(self._accept, sock=listener)

    async def __aenter__(self) -> Self:
        self._placeholder = self._bind(self._port or 0)
        self._port = int(self._placeholder.getsockname()[1])
        await self.restore()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    @staticmethod
    def _bind(port: int) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(("127.0.0.1", port))
        except OSError as error:
            bound.close()
            raise OSError(error.errno, f"relay cannot bind 127.0.0.1:{port}: {error.strerror}") from error
        return bound

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            # Accepted by the kernel before a cut, handed over after it.
            writer.transport.abort()
            return
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)
        # Here rather than in the task: one that is cancelled before its first step runs no finally.
        link.add_done_callback(lambda _: writer.transport.abort())

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return  # The target refused; the client learns it by the end of its own connection.
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, target_writer, self._flowing))
                pumps.create_task(self._pump(target_reader, writer, self._flowing, self._answering))
            for each in (target_writer, writer):
                each.close()
                await each.wait_closed()
        except* OSError:
            pass  # One end reset its connection; so does the abort below for the other.
        finally:
            target_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *gates: asyncio.Event) -> None:
        while chunk := await reader.read(_CHUNK_BYTES):
            await self._opened(gates)
            writer.write(chunk)
            await writer.drain()
        await self._opened(gates)
        writer.write_eof()

    async def _opened(self, gates: Iterable[asyncio.Event]) -> None:
        for gate in gates:
            await gate.wait()

    async def _drop_links(self) -> None:
        links = list(self._links)
        for link in links:
            link.cancel()
        if links:
            await asyncio.wait(links)
