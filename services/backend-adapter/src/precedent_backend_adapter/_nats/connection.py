"""One connection of the library, which reconnects by itself, and the calls in flight on it."""

import asyncio
import logging
import math
import re
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from precedent_backend_adapter._nats import refusals
from precedent_backend_adapter._nats.acknowledgements import Acknowledgements
from precedent_backend_adapter._nats.faults import translated
from precedent_backend_adapter._nats.files import checked_creds, read, tls_context
from precedent_backend_adapter._nats.library import errors
from precedent_backend_adapter._nats.refusals import Refusals
from precedent_backend_adapter._nats.secure_client import SecureClient
from precedent_backend_adapter._transport import Ack, Fault, FaultKind, Reply
from precedent_backend_adapter.config import Config, Credentials, Tls
from precedent_schemas.servers import parse_addresses

Result = TypeVar("Result")

_LOG: Final = logging.getLogger("precedent_backend_adapter")

# A hung server is noticed after three unanswered pings instead of minutes.
_PING_INTERVAL_S: Final = 5
_UNANSWERED_PINGS: Final = 2
_RECONNECT_WAIT_S: Final = 0.25
_FOR_EVER: Final = -1
# No buffer while disconnected: what lies in it would be sent after its call has long reported a failure.
_NO_BUFFER: Final = 0

_DENIED: Final = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')
_CANCELLATIONS: Final = 4


class Connection:
    """One connection of the library, and the calls in flight on it."""

    def __init__(self, urls: list[str], config: Config) -> None:
        self._servers = parse_addresses(urls)
        self._shown = ", ".join(server.url for server in self._servers)
        self._config = config
        self._refusals = Refusals()
        self._client = SecureClient(self._refusals.pause_s)
        self._client.demands_tls = config.tls is not None or any(server.wants_tls for server in self._servers)
        self._log = Acknowledgements(self._client, config.jetstream_domain)
        self._changed = asyncio.Event()
        self._in_flight: dict[asyncio.Future[Fault], str] = {}
        self._failures: list[Exception] = []
        self._all_failed: asyncio.Future[None] | None = None
        self._denied_inbox: str | None = None
        self.was_opened = False

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    @property
    def is_closed(self) -> bool:
        """Whether nothing goes through it any more, or yet: it is closed for good, or was never opened."""
        return not self.was_opened or self._client.is_closed

    async def open(self) -> None:
        """Connect, trying each server once, within the time for it."""
        self.was_opened = True
        options = await asyncio.to_thread(self._options)
        self._all_failed = asyncio.get_running_loop().create_future()
        attempt = asyncio.ensure_future(self._client.connect(**options))
        try:
            await asyncio.wait(
                {attempt, self._all_failed},
                timeout=self._config.timeouts.connect,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not attempt.done():
                raise self._unreachable()
            try:
                attempt.result()
                await self._check_inbox()
            except (errors.Error, OSError) as error:
                raise translated(error, f"cannot connect to {self._shown}") from error
            except Fault:
                raise
            except Exception as error:
                # Of the keys' own library, whose exceptions have no common base.
                raise Fault(FaultKind.MISCONFIGURED, f"cannot use the credentials: {error!r}") from error
        except BaseException:
            await self._give_up(attempt)
            raise
        finally:
            self._all_failed = None
            self._changed.set()

    async def _give_up(self, attempt: asyncio.Future[None]) -> None:
        # The library swallows a cancellation that comes at some moments, and then goes on for ever.
        for _ in range(_CANCELLATIONS):
            attempt.cancel()
            done, _ = await asyncio.wait({attempt}, timeout=self._config.timeouts.close / _CANCELLATIONS)
            if done:
                break
        attempt.add_done_callback(_noticed)
        await self.close()

    def _unreachable(self) -> Fault:
        seconds = self._config.timeouts.connect
        if not self._failures:
            return Fault(FaultKind.NOT_SENT, f"no answer from {self._shown} within {seconds:g} s")
        last = refusals.read(self._failures[-1])
        hint = ""
        if last.kind is FaultKind.NOT_SENT and self._client.shows_certificate:
            hint = ": does the server take the certificate of tls.cert_file, and is that still valid?"
        return self._no_connection(last, hint)

    def _no_connection(self, why: Fault, hint: str = "") -> Fault:
        fault = Fault(why.kind, f"cannot connect to {self._shown}: {why}{hint}")
        fault.__cause__ = why
        return fault

    async def _check_inbox(self) -> None:
        # A denied subscription looks like a good one until every call times out: find out now.
        subscription = await self._client.subscribe(self._client.new_inbox())
        # The library's ping overtakes what lies in its own buffer: the first makes that leave, the second follows it.
        for _ in range(2):
            await self._client.flush(timeout=math.ceil(self._config.timeouts.connect))
        if self._denied_inbox is not None:
            raise Fault(FaultKind.NOT_PERMITTED, self._deaf())
        await subscription.unsubscribe()

    def _deaf(self) -> str:
        return (
            f"replies cannot be heard: the credentials may not subscribe below {self._config.inbox_prefix!r}; "
            "set inbox_prefix to what they may"
        )

    async def ready(self) -> None:
        """Wait until connected, or closed for good.

        Raises:
            Fault: we are refused; that is tried again, and may change.
        """
        while not (self._client.is_connected or self.is_closed):
            if self._refusals.last is not None:
                raise self._no_connection(self._refusals.last)
            self._changed.clear()
            await self._changed.wait()

    async def call(self, subject: str, doing: str, work: Coroutine[Any, Any, Result]) -> Result:
        """Do `work`, unless something happens to the connection that already decides it."""
        task = asyncio.ensure_future(work)
        verdict: asyncio.Future[Fault] = asyncio.get_running_loop().create_future()
        self._in_flight[verdict] = subject
        try:
            either: set[asyncio.Future[Any]] = {task, verdict}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise verdict.result()
            try:
                return task.result()
            except Fault:
                raise
            except Exception as error:
                raise translated(error, doing) from error
        finally:
            del self._in_flight[verdict]
            verdict.cancel()
            # Not waited for: the library may swallow the cancellation and wait out its own timeout.
            task.cancel()
            task.add_done_callback(_noticed)

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        return await self._log.publish(subject, payload, headers, seconds)

    async def request(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        message = await self._client.request(subject, payload, timeout=seconds, headers=dict(headers) or None)
        return Reply(message.data, message.headers or {})

    async def close(self) -> None:
        """Close without waiting for anybody."""
        closing = asyncio.ensure_future(self._client.close())
        # Its own waits are unbounded, and there is nothing left to lose here.
        await asyncio.wait({closing}, timeout=self._config.timeouts.close)
        closing.cancel()
        closing.add_done_callback(_noticed)
        self._fail(FaultKind.CUT, "the client was closed")
        self._changed.set()

    # -- what the library tells

    async def _on_error(self, error: Exception) -> None:
        denied = _DENIED.search(str(error).lower())
        if denied is not None:
            self._on_denied(denied[1], denied[2])
            return
        _LOG.debug("NATS at %s: %r", self._shown, error)
        if self._all_failed is None:
            self._on_not_reconnected(refusals.read(error))
        elif not self._all_failed.done():
            self._failures.append(error)
            if len(self._failures) >= len(self._servers):
                self._all_failed.set_result(None)

    def _on_denied(self, operation: str, where: str) -> None:
        if operation == "publish":
            self._fail(FaultKind.NOT_PERMITTED, f"the credentials may not publish on {where}", subject=where)
        elif where.startswith(self._config.inbox_prefix.lower()):
            self._denied_inbox = where
            self._fail(FaultKind.DEAF, self._deaf())

    def _on_not_reconnected(self, why: Fault) -> None:
        if why.kind is FaultKind.NOT_SENT or not self._refusals.take(why, len(self._client.server_pool)):
            return
        _LOG.warning("%s; trying again, ever more rarely", self._no_connection(why))
        self._changed.set()

    async def _on_disconnected(self) -> None:
        if not self._client.is_closed:
            _LOG.warning("connection to NATS at %s is lost; reconnecting", self._shown)
        self._fail(FaultKind.CUT, "the connection broke before an answer came")

    async def _on_reconnected(self) -> None:
        _LOG.info("connection to NATS at %s is back", self._shown)
        self._refusals.forget()
        self._changed.set()

    async def _on_closed(self) -> None:
        self._fail(FaultKind.CUT, "the connection was closed before an answer came")
        self._changed.set()

    def _fail(self, kind: FaultKind, message: str, subject: str | None = None) -> None:
        for verdict, asked in self._in_flight.items():
            # The server's error names the subject in lower case by the time it arrives here.
            if not verdict.done() and subject in (None, asked.lower()):
                verdict.set_result(Fault(kind, message))

    def _options(self) -> dict[str, Any]:
        who = self._config.credentials
        options: dict[str, Any] = {
            "servers": [server.url for server in self._servers],
            "name": self._config.name,
            "inbox_prefix": self._config.inbox_prefix,
            "connect_timeout": self._config.timeouts.connect,
            "ping_interval": _PING_INTERVAL_S,
            "max_outstanding_pings": _UNANSWERED_PINGS,
            "max_reconnect_attempts": _FOR_EVER,
            "reconnect_time_wait": _RECONNECT_WAIT_S,
            "pending_size": _NO_BUFFER,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_disconnected,
            "reconnected_cb": self._on_reconnected,
            "closed_cb": self._on_closed,
            "user": who.user,
            "password": who.password,
            "token": who.token,
        }
        if who == Credentials():
            self._client.given_servers = self._servers
        if who.creds_file is not None:
            options["user_credentials"] = checked_creds(Path(who.creds_file))
        if who.nkey_seed_file is not None:
            read(Path(who.nkey_seed_file), "nkey seed file")
            options["nkeys_seed"] = str(who.nkey_seed_file)
        if self._client.demands_tls:
            tls = self._config.tls or Tls()
            options["tls"] = tls_context(tls)
            self._client.shows_certificate = tls.cert_file is not None
        return options


def _noticed(task: asyncio.Future[Any]) -> None:
    # Otherwise asyncio reports an exception that no caller looked at.
    if not task.cancelled():
        task.exception()
