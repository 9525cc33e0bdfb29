"""The client library, made to survive any message that a client can publish.

The library ends its read loop for good if a subject, a reply subject or the status line of a header block is not UTF-8.
It also replies to any subject that a message names: a client that names a subject of JetStream's API as its inbox would
have the reply published there with the indexer's permissions. Any client that may publish could do either.
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
"""Prefixes of the subjects of questions."""
_DENIAL: Final = "permissions violation"
_ENDED: Final = re.compile(r"authentication (expired|revoked)", re.IGNORECASE)
_QUOTE: Final = "'"
_NO_INBOXES: Final = (b"$", b"security.")
"""Prefixes of subjects of the server and of ours, where a publish has an effect: none of them is an inbox."""


class CertificateWantedError(nats.errors.Error):
    """The server asks for a certificate, and none is configured."""

    def __str__(self) -> str:
        """The message for the log."""
        return "the server asks for a certificate"


class _Transport(TcpTransport):
    """A connection that tells asyncio of its switch to TLS."""

    async def connect_tls(
        self, uri: str | ParseResult, ssl_context: ssl.SSLContext, buffer_size: int, connect_timeout: int
    ) -> None:
        await super().connect_tls(uri, ssl_context, buffer_size, connect_timeout)
        assert self._io_writer is not None  # noqa: S101 -- the library's own condition for TLS
        transport = self._io_writer.transport
        protocol = transport.get_protocol()
        # The library omits this, so asyncio would warn of a half-closed connection at its end. The protocol is gone
        # if the server has closed the connection already.
        if isinstance(protocol, asyncio.StreamReaderProtocol):
            protocol.connection_made(transport)


class TolerantClient(Client):
    """Passes on every message, except for questions whose reply would do harm."""

    demands_tls = False
    """Whether CONNECT, which may hold a password, is withheld from a server that does not demand TLS."""

    shows_certificate = False
    """Whether there is a certificate to show to a server that asks for one."""

    given_servers: Sequence[ServerAddress] = ()
    """Servers whose URLs may hold credentials; the library would not decode user and password."""

    @property
    def domain_here(self) -> str | None:
        """JetStream domain of the connected server: empty for none; None if it has no JetStream."""
        return str(self._server_info.get("domain", "")) if self._server_info.get("jetstream") else None

    renew: Callable[[], None] | None = None
    """Reads the credentials files, before each connect; blocking."""

    async def _connect_to_server(self, s: Srv) -> None:
        # A server that accepts and does not answer would leak one socket with every attempt.
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
        # The library passes denials on in lower case; its buffer has the subject as the server wrote it.
        said = ERR_RE.match(self._ps.buf)
        if said is not None and _DENIAL in err_msg:
            await self._error_cb(nats.errors.Error(f"nats: {said[1].decode(errors='replace').strip(_QUOTE)}"))
        elif said is not None and self.is_connected and _ENDED.search(err_msg):
            # The library would close for good without an error; after the file is renewed, the server accepts us.
            error = nats.errors.Error(f"nats: {said[1].decode(errors='replace').strip(_QUOTE)}")
            await self._error_cb(error)
            await self._process_op_err(error)
        else:
            await super()._process_err(err_msg)

    async def _close(self, status: int, do_cbs: bool = True) -> None:  # noqa: FBT001, FBT002 -- the library's signature
        try:
            await super()._close(status, do_cbs)
        except OSError:
            # The last write failed, since the server is gone: the library would skip the rest, callbacks included.
            self._status = Client.DISCONNECTED
            await super()._close(status, do_cbs)

    def _connect_command(self) -> bytes:
        # The library continues without TLS if the server, or an attacker in between, does not demand it.
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        # Under TLS 1.3 the server refuses only after the handshake, when the connection is mostly closed already.
        if self._server_info.get("tls_verify") and not self.shows_certificate:
            raise CertificateWantedError
        self._take_identity()
        if self._nkeys_seed is not None:
            # The library reads the seed for each signature, but its public key only once.
            self._setup_nkeys_seed_connect()
        return super()._connect_command()

    def _take_identity(self) -> None:
        identified = [one for one in self.given_servers if one.has_identity]
        if not identified or self._current_server is None:
            return
        here = self._current_server.uri
        given = (one for one in self.given_servers if one.url == f"{here.scheme}://{here.netloc}")
        # A server that the cluster named later gets the credentials of a given server, as with the nats command.
        who = next(given, identified[0])
        self.options |= {"user": who.user, "password": who.password, "token": who.token}
        self._auth_configured = True

    async def flush(self, timeout: int = DEFAULT_FLUSH_TIMEOUT) -> None:  # noqa: ASYNC109 -- the library's signature
        """Return when the server has processed everything that was sent before."""
        # The library's ping overtakes its own send buffer. When it ends a subscription, messages that the server sends
        # after the pong and before it reads the unsubscription would be dropped.
        async with asyncio.timeout(timeout):
            await self._flush_pending(force_flush=True)
        await super().flush(timeout)

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
        except (UnicodeDecodeError, IndexError):
            # The status line is the publisher's; the headers of the server come after it.
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
