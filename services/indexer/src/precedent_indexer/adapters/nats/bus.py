"""One connection to NATS: requests, subscriptions, and publishes to streams.

The rest of the indexer works with `Packet`s and dictionaries of the JetStream API, so that the traps of the client
library are dealt with in this package alone.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
import structlog
from nats.aio.msg import Msg

from precedent_indexer.adapters.nats.connection.client import TolerantClient
from precedent_indexer.adapters.nats.connection.connect import RECONNECT_WAIT_S, Admission, cannot_be_heard
from precedent_indexer.adapters.nats.connection.credentials import expiring
from precedent_indexer.adapters.nats.connection.denials import Denials
from precedent_indexer.adapters.nats.replies import AwaitedAck, ReplyInbox, api_prefix, refusal
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, JetStreamOff, NotPermitted
from precedent_indexer.settings import Settings

log = structlog.get_logger(__name__)

API_TIMEOUT_S: Final = 5.0
"""Seconds that one request to JetStream may take."""
_CLOSE_TIMEOUT_S: Final = 2.0
_NOBODY_LISTENS: Final = "503"


PacketHandler = Callable[[Packet], Awaitable[None]]


class Bus:
    """One connection to NATS, which reconnects without a limit."""

    def __init__(self, settings: Settings) -> None:
        self.instance = secrets.token_hex(8)
        """Name of this process on the bus."""
        self.client = TolerantClient()
        self._admission = Admission(self.client, settings)
        self._settings = settings
        self._given_domain = settings.precedent_jetstream_domain
        self._api_prefix = api_prefix(self._given_domain)
        self.denials = Denials(settings.nats_inbox_prefix)
        self._connected = False
        self._closing = False
        self._leaving: asyncio.Future[None] | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the connection is closed for good."""
        self._replies = ReplyInbox(self.new_inbox, self.subscribe)
        self.on_reconnect: list[Callable[[], None]] = []

    @classmethod
    async def connect(cls, settings: Settings, name: str) -> "Bus":
        """Connect, with retries for `precedent_start_timeout_s` seconds.

        Raises:
            StartRefused: no server was reached, or it refused us; the message says which server and why.
        """
        bus = cls(settings)
        await bus._admission.connect(
            name,
            error_cb=bus._on_error,
            disconnected_cb=bus._on_disconnect,
            reconnected_cb=bus._on_reconnect,
            closed_cb=bus._on_close,
        )
        bus._connected = True
        try:
            # A denied subscription to the inbox would only show as a timeout of every request: check it now.
            unsubscribe = await bus.subscribe(bus.new_inbox(), _ignore)
            await unsubscribe()
        except NotPermitted as error:
            await bus.close()
            raise cannot_be_heard(error, settings) from error
        return bus

    async def _on_error(self, error: Exception) -> None:
        if self.denials.take(error):
            return
        if not self._closing:
            # Only messages of the library: other errors may quote the content of an event.
            detail = str(error)[:200] if isinstance(error, nats.errors.Error) else ""
            waits = {} if self.client.is_connected else {"retry_in_s": RECONNECT_WAIT_S}
            log.warning("nats_error", error=type(error).__name__, detail=detail, **waits)
        self._admission.take(error)
        if self._connected and self._admission.is_refused and not self._closing:
            self._closing = True
            log.error("nats_refused", detail=str(self._admission.failure(error)))
            # In a task of its own: closing cancels the library's task that runs this callback.
            self._leaving = asyncio.ensure_future(self.client.close())

    async def _on_disconnect(self) -> None:
        if not self._closing:
            log.warning("nats_disconnected")

    async def _on_reconnect(self) -> None:
        log.info("nats_reconnected")
        self._admission.granted()
        for hook in self.on_reconnect:
            hook()

    async def _on_close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def is_refused(self) -> bool:
        """Whether the servers have refused us since the first connect: then the connection ends."""
        return self._admission.is_refused

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server takes in one message."""
        return self.client.max_payload

    def expiring(self) -> list[str]:
        """One line for each credentials file that expires soon; blocking."""
        return expiring(self._settings)

    def new_inbox(self) -> str:
        """A fresh reply subject."""
        return self.client.new_inbox()

    @property
    def domain(self) -> str | None:
        """JetStream domain of our streams: empty for none, None if it is not known."""
        return self.client.domain_here if self._given_domain is None else self._given_domain

    def api_subject(self, verb: str) -> str:
        """Subject of a request to JetStream, such as `STREAM.INFO.<name>`, in the domain of our streams."""
        return f"{self._api_prefix}.{verb}"

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Publish without waiting; buffered while disconnected.

        Raises:
            BusUnavailable: the connection is closed, or its buffer is full.
        """
        try:
            await self.client.publish(subject, data, reply=reply, headers=headers)
        except nats.errors.Error as error:
            raise BusUnavailable(f"cannot send on {subject}: {type(error).__name__}") from error

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = API_TIMEOUT_S,
    ) -> Packet:
        """Publish and wait for the reply.

        Raises:
            BusUnavailable: no reply came in time, or there is no subscriber.
            NotPermitted: we may not publish there.
        """
        try:
            asking = self.client.request(subject, data, timeout=timeout_s, headers=headers)
            answer = await self.denials.unless_denied(subject, asking)
        except (TimeoutError, nats.errors.Error) as error:
            raise BusUnavailable(f"no answer on {subject}: {type(error).__name__}") from error
        return packet_of(answer)

    async def request_raw(self, subject: str, data: bytes) -> Packet:
        """As `request`, for replies that are messages of publishers: the library does not interpret their headers.

        The library takes a header `Status: 503` of any reply for "no responders", and a publisher may set it.

        Raises:
            BusUnavailable: no reply came in time.
            NotPermitted: we may not publish there.
        """
        return (await self.request_many(subject, data, lambda _answer: True))[0]

    async def request_many(self, subject: str, data: bytes, is_last: Callable[[Packet], bool]) -> list[Packet]:
        """As `request_raw`, for a request with several replies, up to the one that `is_last` accepts.

        Raises:
            BusUnavailable: the last reply did not come in time.
            NotPermitted: we may not publish there.
        """
        async with self._replies.awaiting(is_last) as (reply, answers):

            async def ask() -> list[Packet]:
                await self.publish(subject, data, reply=reply)
                async with asyncio.timeout(API_TIMEOUT_S):
                    await answers.complete.wait()
                return answers.packets

            try:
                return await self.denials.unless_denied(subject, ask())
            except TimeoutError as error:
                raise BusUnavailable(f"no answer on {subject}: timeout") from error

    async def api(self, verb: str, body: object = None) -> dict[str, Any]:
        """One request to the JetStream API, such as `STREAM.INFO.<name>`.

        Raises:
            BusUnavailable: JetStream does not answer.
            JetStreamOff: there is none.
            JetStreamRefused: it answers with an error.
        """
        payload = b"" if body is None else json.dumps(body).encode()
        try:
            answer = json.loads((await self.request(self.api_subject(verb), payload)).data)
        except BusUnavailable as error:
            if isinstance(error.__cause__, nats.errors.NoRespondersError):
                raise JetStreamOff(_off(self.api_subject(verb), self._given_domain)) from error.__cause__
            raise
        if answer.get("error"):
            raise refusal(verb, answer["error"])
        found: dict[str, Any] = answer
        return found

    async def publish_to_stream(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Publish a message to a stream; its sequence once the stream has stored it."""
        return (await self.publish_once(subject, data, headers))[0]

    async def publish_once(self, subject: str, data: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Publish a message to a stream; its sequence, and whether it was a duplicate by its message id.

        Raises:
            BusUnavailable: the stream that the subject belongs to did not acknowledge; it may be stored nevertheless.
            JetStreamRefused: that stream refused it.
        """
        wanted = AwaitedAck(subject, self.domain)
        async with self._replies.awaiting(wanted.take) as (reply, answers):

            async def ask() -> None:
                await self.publish(subject, data, reply=reply, headers=headers)
                async with asyncio.timeout(API_TIMEOUT_S):
                    await wanted.refused_or(answers.complete)

            with contextlib.suppress(TimeoutError):
                await self.denials.unless_denied(subject, ask())
        ack = wanted.result()
        return ack.seq, ack.duplicate

    async def subscribe(self, subject: str, handler: PacketHandler) -> Callable[[], Awaitable[None]]:
        """Call `handler` with every message on `subject`, one at a time; the result unsubscribes.

        Raises:
            NotPermitted: we may not subscribe there.
        """

        async def hand_over(message: Msg) -> None:
            await handler(packet_of(message))

        self.denials.forget(subject)
        subscription = await self.client.subscribe(subject, cb=hand_over)
        await self.settle()
        self.denials.check_heard(subject)

        async def unsubscribe() -> None:
            if not self.client.is_closed:
                await subscription.unsubscribe()

        return unsubscribe

    async def settle(self) -> None:
        """Return when the server has processed what was sent before, and has sent its denials."""
        await self.client.flush()

    async def ping_services(self, name: str, wait_s: float) -> list[dict[str, Any]]:
        """PING replies of service `name` within `wait_s` seconds; returns at once if there is no instance."""
        answers: list[dict[str, Any]] = []
        absent = asyncio.Event()

        async def collect(packet: Packet) -> None:
            if packet.data:
                answers.append(json.loads(packet.data))
            elif packet.headers.get("Status") == _NOBODY_LISTENS:
                absent.set()

        async def wait() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await absent.wait()

        inbox = self.new_inbox()
        unsubscribe = await self.subscribe(inbox, collect)
        subject = f"$SRV.PING.{name}"
        await self.publish(subject, reply=inbox)
        try:
            # A denied ping must not look like an absent service.
            await self.denials.unless_denied(subject, wait())
        finally:
            await unsubscribe()
        return answers

    async def reply(self, packet: Packet, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Reply to a question; does nothing if it has no reply subject."""
        if packet.reply and not self.client.is_closed:
            await self.client.publish(packet.reply, data, headers=headers)

    async def close(self) -> None:
        """Flush and close, within a few seconds, even if the server goes away at the same time."""
        self._closing = True
        if self.client.is_connected and not await _in_good_order(self.client.flush()):
            log.warning("nats_flush_failed")
        await _in_good_order(self.client.close())


async def _in_good_order(leaving: Awaitable[None]) -> bool:
    """Whether `leaving` ended in time, without an error of the connection."""
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await leaving
    except (nats.errors.Error, OSError, TimeoutError):
        return False
    return True


def _off(subject: str, domain: str | None) -> str:
    wrong = f", or correct PRECEDENT_JETSTREAM_DOMAIN={domain}, which nobody here has" if domain else ""
    return f"nobody answers on {subject}: {JetStreamOff.says}{wrong}"


async def _ignore(_packet: Packet) -> None:
    """Handler of a subscription that is only tried."""


def packet_of(message: Msg) -> Packet:
    """A message of the client library as a `Packet`."""
    return Packet(message.subject, message.reply, message.data, message.headers or {})
