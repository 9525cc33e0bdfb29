"""The client library, made to outlive whatever a publisher or an asker can put into a message.

It ends its read loop for good over bytes that are not UTF-8 in a subject, a reply subject or the status line of a
header block. And it answers wherever a message says: an asker who names a subject of JetStream's API as his inbox
would have his answer carried there with the indexer's permissions. Both are one message away for everybody who may
publish anything.
"""

import asyncio
from typing import Final

import nats.errors
import structlog
from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client
from nats.aio.msg import Msg

from precedent_schemas.subjects import DEAD_LETTERS_PREFIX, INDEX_PREFIX

log = structlog.get_logger(__name__)

_CRLF: Final = b"\r\n"
_QUESTIONS: Final = tuple(f"{prefix}.".encode() for prefix in (INDEX_PREFIX, DEAD_LETTERS_PREFIX, "$SRV"))
"""Subjects of what is answered."""
_NO_INBOXES: Final = (b"$", b"security.")
"""Subjects on which something happens: the server's own, and ours. Nobody waits there for an answer."""


class CertificateWantedError(nats.errors.Error):
    """The server asks for a certificate, and none is configured."""

    def __str__(self) -> str:
        """For people."""
        return "the server asks for a certificate"


class TolerantClient(Client):
    """Hands over every message that arrives, but for questions whose answer would do harm."""

    demands_tls = False
    """Whether CONNECT, which may hold a password, is kept back where TLS is not asked for by the other side."""

    shows_certificate = False
    """Whether there is a certificate to show to a server that asks for one."""

    def _connect_command(self) -> bytes:
        # The library itself goes on in clear when the server, or somebody between, does not ask for TLS.
        if self.demands_tls and not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        # Under TLS 1.3 the server says so only behind the handshake, and mostly the connection is gone by then.
        if self._server_info.get("tls_verify") and not self.shows_certificate:
            raise CertificateWantedError
        return super()._connect_command()

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
