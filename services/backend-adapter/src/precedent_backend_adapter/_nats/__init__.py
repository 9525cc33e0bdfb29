"""The one door to NATS: the only package that imports the library, and the one that translates its exceptions.

A connection reconnects by itself, and says why where it is refused. When the library closes one for good, which it
does on most errors that the server sends, the next call opens another.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final

from precedent_backend_adapter._nats.connection import Connection
from precedent_backend_adapter._nats.refusals import Refusals
from precedent_backend_adapter._transport import Ack, Fault, FaultKind, Reply
from precedent_backend_adapter.config import Config

_LOG: Final = logging.getLogger("precedent_backend_adapter")


class NatsTransport:
    """A connection to NATS that is opened again when the library has given one up."""

    def __init__(self, urls: list[str], config: Config) -> None:
        self._urls = urls
        self._config = config
        self._connection = Connection(urls, config)
        self._opening = asyncio.Lock()
        self._closed = False
        self._refusals = Refusals()
        self._again_at = 0.0

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            Fault: no server could be used within the time for it.
        """
        await self._connection.open()

    @property
    def max_payload(self) -> int:
        """Most bytes of headers and payload that the server takes in one message."""
        return self._connection.max_payload

    async def ready(self) -> None:
        """Return as soon as there is a connection.

        Raises:
            Fault: this client is closed, a new connection could not be opened, or the server refuses us.
        """
        while True:
            await self._connection.ready()
            async with self._opening:
                if self._closed:
                    raise Fault(FaultKind.CLOSED, "this client is closed")
                if not self._connection.is_closed:
                    return
                await self._reopen()

    async def _reopen(self) -> None:
        refused = self._refusals.last
        if refused is not None and time.monotonic() < self._again_at:
            raise Fault(refused.kind, str(refused)) from refused
        if self._connection.was_opened:
            _LOG.warning("connection to NATS was closed for good; opening another one")
        self._connection = fresh = Connection(self._urls, self._config)
        try:
            await fresh.open()
        except Fault as fault:
            if fault.kind in (FaultKind.NOT_PERMITTED, FaultKind.NOT_TRUSTED):
                self._refusals.take(fault, servers=1)
                self._again_at = time.monotonic() + self._refusals.pause_s()
            raise
        self._refusals.forget()

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Send once to the log and wait so many `seconds` for the acknowledgement.

        Raises:
            Fault: none came.
        """
        now = self._connection
        return await now.call(subject, f"publish on {subject}", now.publish(subject, payload, headers, seconds))

    async def request(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Send once to a service and wait so many `seconds` for the answer.

        Raises:
            Fault: none came.
        """
        now = self._connection
        return await now.call(subject, f"request on {subject}", now.request(subject, payload, headers, seconds))

    async def close(self) -> None:
        """Leave for good; what is in flight fails."""
        self._closed = True
        await self._connection.close()
