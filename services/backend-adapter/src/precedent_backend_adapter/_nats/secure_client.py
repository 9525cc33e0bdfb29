"""The library's client, without what costs it sockets, secrets, or a server its rest."""

import asyncio
import ssl
import time
from collections.abc import Callable, Sequence
from urllib.parse import ParseResult

from precedent_backend_adapter._nats.library import DEFAULT_BUFFER_SIZE, Client, Srv, TcpTransport, errors
from precedent_schemas.servers import ServerAddress


class CertificateWantedError(errors.Error):
    """The server asks for a certificate, and there is none."""

    def __str__(self) -> str:
        return "the server asks for a certificate"


class _Transport(TcpTransport):
    """A connection of which asyncio knows that it is under TLS."""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        assert self._io_writer is not None  # noqa: S101 -- the library's own condition for TLS
        transport = self._io_writer.transport
        protocol = transport.get_protocol()
        # The library leaves it out, so that asyncio warns of a half-closed connection at the end of each. There is none
        # any more where the server has ended the connection already.
        if isinstance(protocol, asyncio.StreamReaderProtocol):
            protocol.connection_made(transport)


class SecureClient(Client):
    """A client that keeps no connection that it has given up.

    And that never sends its CONNECT, which may hold a password, in clear where TLS is demanded.

    Attributes:
        demands_tls: whether a server that does not ask for TLS is left.
        shows_certificate: whether there is one to show.
        pause_s: seconds to rest before the next attempt to connect.
        given_servers: servers whose URLs may say who we are: the library would take a user and a password as they stand
            there, percent-encoded.
    """

    def __init__(self, pause_s: Callable[[], float]) -> None:
        super().__init__()
        self.demands_tls = False
        self.shows_certificate = False
        self.pause_s = pause_s
        self.given_servers: Sequence[ServerAddress] = ()

    async def _connect_to_server(self, s: Srv) -> None:
        # A server that accepts and says nothing would cost the process one socket with every attempt.
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call] # by the library
        await asyncio.sleep(self.pause_s())
        s.last_attempt = time.monotonic()
        self._transport = _Transport()  # type: ignore[no-untyped-call] # by the library
        await self._transport.connect(
            s.uri, buffer_size=DEFAULT_BUFFER_SIZE, connect_timeout=self.options["connect_timeout"]
        )

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 -- the library's signature
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # Its last write failed, since the server has gone: it would leave the rest undone, and call no callback.
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        # The library itself goes on in clear when the server, or an attacker between, does not ask for TLS.
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise errors.SecureConnWantedError
        # Under TLS 1.3 the server says so only behind the handshake, and mostly the connection is gone by then.
        if self._server_info.get("tls_verify") and not self.shows_certificate:
            raise CertificateWantedError
        self._take_identity()
        return super()._connect_command()

    def _take_identity(self) -> None:
        identified = [one for one in self.given_servers if one.has_identity]
        if not identified or self._current_server is None:
            return
        here = self._current_server.uri
        given = (one for one in self.given_servers if one.url == f"{here.scheme}://{here.netloc}")
        # A server that the cluster names later is told the same as a given server, as by the nats command.
        who = next(given, identified[0])
        self.options |= {"user": who.user, "password": who.password, "token": who.token}
        self._auth_configured = True
