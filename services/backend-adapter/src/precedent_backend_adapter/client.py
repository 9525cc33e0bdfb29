"""The client over NATS."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Self, TypeVar

from pydantic import BaseModel

from precedent_backend_adapter._nats import NatsTransport
from precedent_backend_adapter._publishing.delivery import deliver
from precedent_backend_adapter._publishing.publications import size
from precedent_backend_adapter._publishing.reports import OutboxStatus
from precedent_backend_adapter._tracing import context
from precedent_backend_adapter._transport import Fault, FaultKind, Transport
from precedent_backend_adapter._transport import replies as _replies
from precedent_backend_adapter._transport.event_loops import LoopBound
from precedent_backend_adapter.config import Config, check_urls
from precedent_backend_adapter.errors import (
    Misconfigured,
    NotPermitted,
    NotTrusted,
    PrecedentError,
    ProtocolError,
    TooLarge,
    Unavailable,
)
from precedent_backend_adapter.interface import PrecedentClient
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas.catalogue import CLEAR, DEAD_DROP, DEAD_REPLAY, DELETE, Endpoint
from precedent_schemas.codec import encode
from precedent_schemas.failures import ERROR_CODES, ErrorReason

if TYPE_CHECKING:
    from precedent_backend_adapter._outbox import Outbox

Reply = TypeVar("Reply", bound=BaseModel)

_LOG: Final = logging.getLogger("precedent_backend_adapter")

_WHAT: Final = "this client"
_CHANGING: Final = (DELETE, CLEAR, DEAD_REPLAY, DEAD_DROP)


class Precedent(PrecedentClient):
    """Publish security events and ask for precedents, over one NATS connection.

    Use it as `async with Precedent.connect(url) as precedent`. One client serves any number of tasks at once and
    reconnects by itself. Its methods are described in `PrecedentClient`.
    """

    def __init__(self, transport: Transport, config: Config, outbox: "Outbox | None" = None) -> None:
        self._transport = transport
        self._config = config
        self._outbox = outbox
        self._question_timeout = config.timeouts.question
        self._loop = LoopBound()

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, url: str | Sequence[str], *, config: Config | None = None, lazy: bool = False
    ) -> AsyncIterator[Self]:
        """A connected client for as long as the block runs.

        Args:
            url: one server or several of one cluster, `nats://host:4222` or `tls://host:4222`.
            config: everything else; absent: no credentials, the usual timeouts.
            lazy: start without a server: the first call connects, and raises what `connect` would have raised. Without
                one, the connection is there when the block begins.

        Raises:
            Misconfigured: the URL or a file of the configuration cannot be used.
            NotTrusted: the configuration does not trust the server's certificate, or TLS does not fit otherwise.
            NotPermitted: the server refuses the credentials, or does not let them hear replies.
            Unavailable: no server could be reached within `timeouts.connect`; with an outbox no reason to stop: what
                is published waits there.
            OutboxUnavailable: the file of the outbox cannot be used, or another client uses it.
        """
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise Misconfigured([f"config is a {type(config).__name__}; give a Config"])
        transport = NatsTransport(check_urls(url), config)
        async with AsyncExitStack() as leaving:
            leaving.push_async_callback(transport.close)
            try:
                if not lazy:
                    await transport.open()
            except Fault as fault:
                error = _not_connected(fault)
                if config.outbox is None or not isinstance(error, Unavailable):
                    raise error from fault
                _LOG.warning("%s; what is published waits in the outbox", fault)
            outbox = None
            if config.outbox is not None:
                # Only an outbox needs SQLite.
                from precedent_backend_adapter._outbox import opened  # noqa: PLC0415

                outbox = await leaving.enter_async_context(opened(config, config.outbox, transport))
            client = cls(transport, config, outbox)
            client._loop.check(_WHAT)
            yield client

    async def outbox_status(self) -> OutboxStatus | None:
        """What waits in the outbox."""
        self._loop.check(_WHAT)
        return None if self._outbox is None else await self._outbox.status()

    async def flush(self) -> None:
        """Wait until the outbox is empty."""
        self._loop.check(_WHAT)
        if self._outbox is not None:
            await self._outbox.empty()

    async def _send(self, publication: Publication) -> Receipt:
        self._loop.check(_WHAT)
        if self._outbox is not None:
            return await self._outbox.put(publication)
        return await deliver(self._transport, publication, self._config.timeouts, self._config.backoff)

    async def _ask(
        self, endpoint: Endpoint, collection: str | None, request: BaseModel, reply: type[Reply], seconds: float
    ) -> Reply:
        self._loop.check(_WHAT)
        subject = endpoint.subject.replace("*", collection) if collection is not None else endpoint.subject
        payload = encode(request)
        deadline = asyncio.get_running_loop().time() + seconds
        for_connection = min(seconds, self._config.timeouts.connect)
        try:
            async with asyncio.timeout(for_connection):
                await self._transport.ready()
            headers = context.carried()
            if (found := size(payload, headers)) > self._transport.max_payload:
                message = f"the request has {found} bytes, the server takes {self._transport.max_payload}"
                raise Fault(FaultKind.TOO_LARGE, message)
            left = deadline - asyncio.get_running_loop().time()
            answer = await self._transport.request(subject, payload, headers, seconds=max(left, 0.001))
        except TimeoutError as error:
            raise Unavailable(f"no connection to NATS within {for_connection:g} s: is the server running?") from error
        except Fault as fault:
            raise _not_answered(fault, endpoint, subject, seconds) from fault
        return _replies.read(reply, answer, subject)


def _not_connected(fault: Fault) -> PrecedentError:
    if fault.kind is FaultKind.NOT_PERMITTED:
        return NotPermitted(f"{fault}; check the credentials and what the server permits them")
    if fault.kind is FaultKind.NOT_TRUSTED:
        return NotTrusted([str(fault)])
    if fault.kind is FaultKind.MISCONFIGURED:
        return Misconfigured([str(fault)])
    return Unavailable(f"{fault}; is the server running, and is the URL right?")


def _not_answered(fault: Fault, endpoint: Endpoint, subject: str, seconds: float) -> PrecedentError:
    match fault.kind:
        case FaultKind.NO_RESPONDERS:
            return Unavailable(f"no service answers on {subject}: is `precedent-indexer serve` running?")
        case FaultKind.NOT_PERMITTED | FaultKind.DEAF:
            return NotPermitted(f"{subject}: {fault}; use credentials of a role that may, or permit it on the server")
        case FaultKind.NOT_TRUSTED:
            return NotTrusted([f"{subject}: {fault}"])
        case FaultKind.MISCONFIGURED:
            return Misconfigured([f"{subject}: {fault}"])
        case FaultKind.TOO_LARGE:
            reason = ErrorReason.TOO_LARGE
            return TooLarge(f"{subject}: {fault}; ask for less at once", reason=reason, code=ERROR_CODES[reason])
        case FaultKind.REJECTED | FaultKind.UNEXPECTED:
            return ProtocolError(f"{subject}: {fault}")
        case FaultKind.NO_ANSWER:
            message = f"no answer on {subject} within {seconds:g} s"
        case _:
            message = f"no answer on {subject}: {fault}"
    if endpoint in _CHANGING and fault.kind.may_have_arrived:
        message += "; it may have been carried out all the same"
    return Unavailable(message)
