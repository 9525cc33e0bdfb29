"""The client library, made to outlive whatever a publisher or an asker can put into a message.

It ends its read loop for good over bytes that are not UTF-8 in a subject, a reply subject or the status line of a
header block. And it answers wherever a message says: an asker who names a subject of JetStream's API as his inbox
would have his answer carried there with the indexer's permissions. Both are one message away for everybody who may
publish anything.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import ParseResult

import nats.errors
import structlog
from nats.aio.client import DEFAULT_BUFFER_SIZE, DEFAULT_FLUSH_TIMEOUT, Client, Srv
from nats.aio.msg import Msg
from nats.aio.transport import TcpTransport
from nats.protocol.parser import ERR_RE

from precedent_schemas.servers import ServerAddress
from precedent_schemas.subjects import DEAD_LETTERS_PREFIX, INDEX_PREFIX

log = structlog.get_logger(__name__)

_CRLF: Final = b"\r\n"
_QUESTIONS: Final = tuple(f"{prefix}.".encode() for prefix in (INDEX_PREFIX, DEAD_LETTERS_PREFIX, "$SRV"))
"""Subjects of what is answered."""
_DENIAL: Final = "permissions violation"
_ENDED: Final = re.compile(r"authentication (expired|revoked)", re.IGNORECASE)
_QUOTE: Final = "'"
_NO_INBOXES: Final = (b"$", b"security.")
"""Subjects on which something happens: the server's own, and ours. Nobody waits there for an answer."""


class CertificateWantedError(nats.errors.Error):
    """The server asks for a certificate, and none is configured."""

    def __str__(self) -> str:
        """For people."""
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


class TolerantClient(Client):
    """Hands over every message that arrives, but for questions whose answer would do harm."""

    demands_tls = False
    """Whether CONNECT, which may hold a password, is kept back where TLS is not asked for by the other side."""

    shows_certificate = False
    """Whether there is a certificate to show to a server that asks for one."""

    given_servers: Sequence[ServerAddress] = ()
    """Servers whose URLs may say who we are; the library would take user and password without decoding them."""

    @property
    def domain_here(self) -> str | None:
        """JetStream domain of the server that we are connected to: empty for none; None where it has no JetStream."""
        return str(self._server_info.get("domain", "")) if self._server_info.get("jetstream") else None

    renew: Callable[[], None] | None = None
    """Takes in the files that say who we are, before each connect; blocking."""

    async def _connect_to_server(self, s: Srv) -> None:
        # A server that accepts and says nothing would cost the process one socket with every attempt.
        if self._transport is not None:
            self._transport.close()  # type: ignore[no-untyped-call] # by the library
        s.last_attempt = time.monotonic()
        if self.renew is not None:
            await asyncio.to_thread(self.renew)
        self._transport = _Transport()  # type: ignore[no-untyped-call] # by the library
        await self._transport.connect(
            s.uri, buffer_size=DEFAULT_BUFFER_SIZE, connect_timeout=self.options["connect_timeout"]
        )

    async def _process_err(self, err_msg: str) -> None:
        # The library hands over what the server denies in lower case; its buffer still has the subject as it is.
        said = ERR_RE.match(self._ps.buf)
        if said is not None and _DENIAL in err_msg:
            await self._error_cb(nats.errors.Error(f"nats: {said[1].decode(errors='replace').strip(_QUOTE)}"))
        elif said is not None and self.is_connected and _ENDED.search(err_msg):
            # The library would close for good, and say nothing; with a file that was renewed, the server takes us.
            error = nats.errors.Error(f"nats: {said[1].decode(errors='replace').strip(_QUOTE)}")
            await self._error_cb(error)
            await self._process_op_err(error)
        else:
            await super()._process_err(err_msg)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 -- the library's signature
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # Its last write failed, since the server has gone: it would leave the rest undone, and tell nobody.
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        # The library itself goes on in clear when the server, or somebody between, does not ask for TLS.
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        # Under TLS 1.3 the server says so only behind the handshake, and mostly the connection is gone by then.
        if self._server_info.get("tls_verify") and not self.shows_certificate:
            raise CertificateWantedError
        self._take_identity()
        if self._nkeys_seed is not None:
            # The library reads the seed again for each signature, and the public key that belongs to it only once.
            self._setup_nkeys_seed_connect()
        return super()._connect_command()

    def _take_identity(self) -> None:
        identified = [one for one in self.given_servers if one.has_identity]
        if not identified or self._current_server is None:
            return
        here = self._current_server.uri
        given = (one for one in self.given_servers if one.url == f"{here.scheme}://{here.netloc}")
        # A server that the cluster named later takes us by what a given server takes us by, as for the nats command.
        who = next(given, identified[0])
        self.options |= {"user": who.user, "password": who.password, "token": who.token}
        self._auth_configured = True

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:  # noqa: ASYNC109 -- the library's signature
        """Return when the server has taken in all that was sent before."""
        # The library's ping overtakes what lies in its own buffer. Where it ends a subscription, what the server sends
        # behind the answer, and before it reads that the subscription has ended, would be thrown away.
        async with asyncio.timeout(timeout):
            await self._flush_pending(force_flush=True)
        await super().flush(timeout)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            # The status line is the publisher's; what the server adds stands behind it.
            found = self._parse_header_lines((headers or b"").partition(_CRLF)[2]) or None
        return found

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg | None:
        if subject.startswith(_QUESTIONS) and reply.startswith(_NO_INBOXES):
            log.warning("question_dropped", subject=ascii(subject), reply=ascii(reply))
            return None
        return self.msg_class(
            subject=subject.decode(errors="surrogateescape"),
            reply=reply.decode(errors="surrogateescape"),
            data=data,
            headers=headers,
            _client=self,
            _sid=sid,
        )
