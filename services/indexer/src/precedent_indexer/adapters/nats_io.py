"""The only importer of nats: one connection, its requests, subscriptions and service, in the indexer's own words.

Everything above works with `Packet`s and dictionaries of the JetStream API, so that a trap of the client library
has one place to be met in.
"""

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors
import nats.micro
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.request import Request
from nats.micro.service import EndpointStats, ServiceConfig

from precedent_indexer import __version__
from precedent_indexer.errors import BusUnavailable, JetStreamRefused, StartRefused
from precedent_indexer.ports import Packet, Tally
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import QUEUE_GROUP, SERVICE

log = structlog.get_logger(__name__)

API_TIMEOUT_S: Final = 5.0
"""Seconds that one request to JetStream may take."""
_PING_INTERVAL_S: Final = 5
"""With two outstanding pings, a server that hangs is noticed within 15 seconds."""
_CLOSE_TIMEOUT_S: Final = 2.0
_NO_RESPONDERS: Final = "503"


PacketHandler = Callable[[Packet], Awaitable[None]]
QuestionHandler = Callable[[Endpoint, Packet, Tally], Awaitable[None]]


class Bus:
    """One connection to NATS that reconnects for ever."""

    def __init__(self) -> None:
        self._client = Client()
        self._service: nats.micro.service.Service | None = None
        self._tallies: dict[str, Tally] = {}
        self._closing = False
        self._last_error: Exception | None = None
        self._rejected: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once the connection is closed for good."""
        self._raw_prefix = ""
        self._raw_count = 0
        self._raw_answers: dict[str, asyncio.Future[Packet]] = {}
        self.on_reconnect: list[Callable[[], None]] = []

    @classmethod
    async def connect(cls, settings: Settings, name: str) -> "Bus":
        """Connect, trying until `precedent_start_timeout_s` is over.

        Raises:
            StartRefused: no server was reached, or it refused us; the message says which server and why.
        """
        bus = cls()
        connecting = asyncio.ensure_future(bus._client.connect(**bus._options(settings, name)))
        try:
            async with asyncio.timeout(settings.precedent_start_timeout_s):
                either: set[asyncio.Future[Any]] = {connecting, bus._rejected}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                if bus._rejected.done():
                    raise bus._rejected.result()
                await connecting
        except (OSError, TimeoutError, nats.errors.Error) as error:
            connecting.cancel()
            why = bus._last_error or error
            raise StartRefused(
                f"no connection to NATS at NATS_URL={without_secrets(settings.nats_url)} "
                f"({type(why).__name__}: {str(why)[:200]}): "
                "start the server there, or correct NATS_URL and the other NATS_ settings"
            ) from error
        return bus

    def _options(self, settings: Settings, name: str) -> dict[str, Any]:
        async def on_error(error: Exception) -> None:
            self._last_error = error
            if not self._closing:
                log.warning("nats_error", error=type(error).__name__, detail=str(error)[:200])
            if "authorization violation" in str(error).lower() and not self._rejected.done():
                self._rejected.set_result(error)

        async def on_disconnect() -> None:
            if not self._closing:
                log.warning("nats_disconnected")

        async def on_reconnect() -> None:
            log.info("nats_reconnected")
            for hook in self.on_reconnect:
                hook()

        async def on_close() -> None:
            if not self.closed.done():
                self.closed.set_result(None)

        options: dict[str, Any] = {
            "servers": [url.strip() for url in settings.nats_url.split(",")],
            "name": name,
            "connect_timeout": 5,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.5,
            "ping_interval": _PING_INTERVAL_S,
            "max_outstanding_pings": 2,
            "inbox_prefix": settings.nats_inbox_prefix,
            "error_cb": on_error,
            "disconnected_cb": on_disconnect,
            "reconnected_cb": on_reconnect,
            "closed_cb": on_close,
        }
        return options | _credentials(settings)

    @property
    def max_payload(self) -> int:
        """Bytes of headers and payload that the server takes in one message."""
        return self._client.max_payload

    def new_inbox(self) -> str:
        """A fresh reply subject."""
        return self._client.new_inbox()

    async def publish(self, subject: str, data: bytes = b"", *, reply: str = "") -> None:
        """Send without waiting; buffered while disconnected.

        Raises:
            BusUnavailable: the connection is closed, or its buffer is full.
        """
        try:
            await self._client.publish(subject, data, reply=reply)
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
        """Send and wait for the answer.

        Raises:
            BusUnavailable: nobody answered in time, or nobody listens.
        """
        try:
            answer = await self._client.request(subject, data, timeout=timeout_s, headers=headers)
        except (TimeoutError, nats.errors.Error) as error:
            raise BusUnavailable(f"no answer on {subject}: {type(error).__name__}") from error
        return _packet(answer)

    async def request_raw(self, subject: str, data: bytes) -> Packet:
        """As `request`, for answers that are somebody's messages: their headers mean nothing to the connection.

        The library takes a header `Status: 503` of any answer for "nobody listens", and a publisher may send one.

        Raises:
            BusUnavailable: nobody answered in time.
        """
        if not self._raw_prefix:
            self._raw_prefix = self.new_inbox()
            await self.subscribe(f"{self._raw_prefix}.*", self._take_raw)
        self._raw_count += 1
        reply = f"{self._raw_prefix}.{self._raw_count}"
        answer: asyncio.Future[Packet] = asyncio.get_running_loop().create_future()
        self._raw_answers[reply] = answer
        try:
            await self.publish(subject, data, reply=reply)
            async with asyncio.timeout(API_TIMEOUT_S):
                return await answer
        except TimeoutError as error:
            raise BusUnavailable(f"no answer on {subject}: timeout") from error
        finally:
            del self._raw_answers[reply]

    async def _take_raw(self, packet: Packet) -> None:
        answer = self._raw_answers.get(packet.subject)
        if answer is not None and not answer.done():
            answer.set_result(packet)

    async def api(self, verb: str, body: object = None) -> dict[str, Any]:
        """One request to the JetStream API, such as `STREAM.INFO.<name>`.

        Raises:
            BusUnavailable: JetStream does not answer.
            JetStreamRefused: it answers with an error.
        """
        payload = b"" if body is None else json.dumps(body).encode()
        answer = json.loads((await self.request(f"$JS.API.{verb}", payload)).data)
        _raise_refusal(verb, answer)
        found: dict[str, Any] = answer
        return found

    async def publish_to_stream(self, subject: str, data: bytes, headers: dict[str, str]) -> int:
        """Store a message; its sequence once the stream has it."""
        return (await self.publish_once(subject, data, headers))[0]

    async def publish_once(self, subject: str, data: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Store a message; its sequence, and whether the stream had one with its message id already.

        Raises:
            BusUnavailable: no acknowledgement came; it may be stored nevertheless.
            JetStreamRefused: the stream refused it.
        """
        answer = json.loads((await self.request(subject, data, headers=headers)).data)
        _raise_refusal(subject, answer)
        return int(answer["seq"]), bool(answer.get("duplicate", False))

    async def subscribe(self, subject: str, handler: PacketHandler) -> Callable[[], Awaitable[None]]:
        """Hand every message on `subject` to `handler`, one at a time; the result unsubscribes."""

        async def hand_over(message: Msg) -> None:
            await handler(_packet(message))

        subscription = await self._client.subscribe(subject, cb=hand_over)
        await self._client.flush()

        async def unsubscribe() -> None:
            if not self._client.is_closed:
                await subscription.unsubscribe()

        return unsubscribe

    async def ping_services(self, name: str, wait_s: float) -> list[dict[str, Any]]:
        """The PING replies that come within `wait_s` seconds from instances of service `name`."""
        answers: list[dict[str, Any]] = []

        async def collect(packet: Packet) -> None:
            if packet.data:
                answers.append(json.loads(packet.data))

        inbox = self.new_inbox()
        unsubscribe = await self.subscribe(inbox, collect)
        await self.publish(f"$SRV.PING.{name}", reply=inbox)
        await asyncio.sleep(wait_s)
        await unsubscribe()
        return answers

    async def serve(
        self, endpoints: tuple[Endpoint, ...], handler: QuestionHandler, description: str, metadata: dict[str, str]
    ) -> None:
        """Answer questions: `handler` gets each at once and answers through `reply`, in its own time."""
        config = ServiceConfig(
            name=SERVICE,
            version=__version__,
            description=description,
            metadata={"pid": str(os.getpid()), **metadata},
            queue_group=QUEUE_GROUP,
            stats_handler=self._fill_in,
        )
        self._service = await nats.micro.add_service(self._client, config)
        for endpoint in endpoints:
            tally = self._tallies.setdefault(endpoint.name, Tally())
            await self._service.add_endpoint(
                name=endpoint.name,
                subject=endpoint.subject,
                handler=_handing_over(endpoint, handler, tally),
                metadata=endpoint.metadata(),
            )
        await self._client.flush()

    async def stop_taking(self) -> None:
        """Take no more questions; those in hand can still be answered."""
        if self._service is not None and not self._client.is_closed:
            await self._service.stop()
            self._service = None
            await self._client.flush()

    def _fill_in(self, stats: EndpointStats) -> None:
        tally = self._tallies[stats.name]
        stats.num_errors, stats.last_error = tally.errors, tally.last_error
        stats.processing_time = tally.processing_ns
        stats.average_processing_time = tally.processing_ns // max(stats.num_requests, 1)

    async def reply(self, packet: Packet, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer a question; silent where nobody waits."""
        if packet.reply and not self._client.is_closed:
            await self._client.publish(packet.reply, data, headers=headers)

    async def close(self) -> None:
        """Send what is buffered and leave, within two seconds."""
        self._closing = True
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                if self._client.is_connected:
                    await self._client.flush()
        except (nats.errors.Error, TimeoutError):
            log.warning("nats_flush_failed")
        await self._client.close()


def _credentials(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.nats_creds:
        options["user_credentials"] = str(settings.nats_creds)
    if settings.nats_nkey:
        options["nkeys_seed"] = str(settings.nats_nkey)
    if settings.nats_user:
        options["user"] = settings.nats_user
        options["password"] = settings.nats_password.get_secret_value() if settings.nats_password else ""
    if settings.nats_ca or settings.nats_cert:
        context = ssl.create_default_context(cafile=settings.nats_ca)
        if settings.nats_cert:
            context.load_cert_chain(settings.nats_cert, settings.nats_key)
        options["tls"] = context
    return options


def _packet(message: Msg) -> Packet:
    return Packet(message.subject, message.reply, message.data, message.headers or {})


def _handing_over(endpoint: Endpoint, handler: QuestionHandler, tally: Tally) -> Callable[[Request], Awaitable[None]]:
    async def hand_over(request: Request) -> None:
        # The request keeps its message, and with it the reply subject, to itself.
        await handler(endpoint, _packet(request._msg), tally)  # noqa: SLF001

    return hand_over


def _raise_refusal(what: str, answer: dict[str, Any]) -> None:
    error = answer.get("error")
    if error:
        raise JetStreamRefused(
            what, int(error.get("code", 0)), int(error.get("err_code", 0)), str(error.get("description", ""))
        )
