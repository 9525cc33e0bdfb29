"""The durable consumer as a continuous stream of deliveries.

One pull request is open at the server at all times, so that a message arrives when it is published. Messages wait in a
bounded queue, and the server holds back those that would not fit.
"""

import asyncio
import json
import re
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.log import message_headers
from precedent_indexer.domain.messages import ConsumerState, LogMessage, Packet
from precedent_indexer.errors import ConsumerGone, JetStreamCode, JetStreamRefused
from precedent_schemas.subjects import CONSUMER, EVENTS_STREAM

log = structlog.get_logger(__name__)

INDEX_UUID_KEY: Final = "precedent_index"
"""Key of the consumer's metadata with the UUID of the index that it feeds."""
LOG_KEY: Final = "precedent_log"
"""Key of the service's metadata with the log of the index: its JetStream domain and its creation time."""
INSTANCE_KEY: Final = "precedent_instance"
"""Key with the name of the process that has claimed the consumer: a copy of an index has the same UUID."""

DIRECTORY_KEY: Final = "precedent_directory"
"""The same for the directory of that index, as `host:path`."""

_NS: Final = 1_000_000_000
_PULL_EXPIRES_S: Final = 30
_HEARTBEAT_S: Final = 5
_SILENCE_S: Final = 2.5 * _HEARTBEAT_S
"""Seconds without a heartbeat after which the open pull request counts as lost."""
_LEAST_EXPIRES_S: Final = 0.5
_LIMIT: Final = re.compile(r"MaxRequest(?P<what>Batch|Expires) of (?P<bound>\d+)")
"""How the server words that a pull request is beyond a limit of the consumer."""
_ACK_PREFIX: Final = "$JS.ACK."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PulledDelivery:
    """A delivered message of the log."""

    message: LogMessage
    _reply: str
    _bus: Bus

    async def ack(self) -> None:
        """The index has it: do not deliver it again."""
        await self._bus.publish(self._reply, b"+ACK")

    async def term(self) -> None:
        """The message is a dead letter: do not deliver it again."""
        await self._bus.publish(self._reply, b"+TERM")

    async def nak(self) -> None:
        """This process will not process it: deliver it again at once."""
        await self._bus.publish(self._reply, b"-NAK")

    async def in_progress(self) -> None:
        """The message is still being processed: restart ack_wait."""
        await self._bus.publish(self._reply, b"+WPI")


class PullFeed:
    """`Deliveries` of the durable consumer `indexer`, pulled continuously."""

    def __init__(self, bus: Bus, window: int) -> None:
        """`window`: most messages that are requested from the server or queued here."""
        self._bus = bus
        self._window = window
        self._queue: deque[PulledDelivery] = deque()
        self._arrived = asyncio.Event()
        self._asked = 0
        self._heard = time.monotonic()
        self._gone = False
        self._unheard = False
        self._most = window
        self._expires_s: float = _PULL_EXPIRES_S
        self._said: set[str] = set()
        self._inbox = bus.new_inbox()
        self._unsubscribe: Callable[[], Awaitable[None]] | None = None
        bus.on_reconnect.append(self._forget_pulls)

    async def start(self) -> None:
        """Subscribe to the deliveries."""
        self._unsubscribe = await self._bus.subscribe(self._inbox, self._receive)

    async def stop(self) -> None:
        """Unsubscribe, and return the queued messages to the server, which delivers them again at once."""
        if self._unsubscribe is not None:
            await self._unsubscribe()
            self._unsubscribe = None
        while self._queue:
            await self._queue.popleft().nak()

    def waiting(self) -> list[PulledDelivery]:
        """Deliveries in the queue."""
        return list(self._queue)

    async def next_batch(self, limit: int, timeout_s: float) -> list[PulledDelivery]:
        """Up to `limit` messages as soon as there is one; none after `timeout_s` seconds of silence.

        Raises:
            ConsumerGone: the consumer was deleted.
            BusUnavailable: JetStream cannot say whether it was.
        """
        await self._keep_asking()
        if not self._queue and not self._gone and not self._unheard:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
            except TimeoutError:
                return []
        if self._unheard:
            self._unheard = False
            # No responder also means that a cluster is electing the leader: `state` tells the two apart.
            await self.state()
        if self._gone:
            self._gone = False
            raise ConsumerGone(f"consumer {CONSUMER!r} of stream {EVENTS_STREAM!r} was deleted")
        batch = [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]
        await self._keep_asking()
        return batch

    async def state(self) -> ConsumerState:
        """State of the consumer on the server.

        Raises:
            ConsumerGone: the consumer was deleted.
        """
        try:
            info = await self._bus.api(f"CONSUMER.INFO.{EVENTS_STREAM}.{CONSUMER}")
        except JetStreamRefused as error:
            if error.err_code in {JetStreamCode.CONSUMER_NOT_FOUND, JetStreamCode.STREAM_NOT_FOUND}:
                raise ConsumerGone(f"consumer {CONSUMER!r} of stream {EVENTS_STREAM!r} is not there") from error
            raise
        metadata = info["config"].get("metadata") or {}
        return ConsumerState(
            delivered_seq=info["delivered"]["stream_seq"],
            pending=info["num_pending"],
            ack_pending=info["num_ack_pending"],
            redelivered=info["num_redelivered"],
            index_uuid=metadata.get(INDEX_UUID_KEY),
            instance=metadata.get(INSTANCE_KEY),
        )

    async def _keep_asking(self) -> None:
        if time.monotonic() - self._heard > _SILENCE_S:
            self._forget_pulls()
        room = self._window - max(self._asked, 0) - len(self._queue)
        if room < self._window // 2:
            return
        room = min(room, self._most)
        heartbeat_s = min(_HEARTBEAT_S, self._expires_s / 2)
        request = {"batch": room, "expires": int(self._expires_s * _NS), "idle_heartbeat": int(heartbeat_s * _NS)}
        self._asked = max(self._asked, 0) + room
        await self._bus.publish(
            self._bus.api_subject(f"CONSUMER.MSG.NEXT.{EVENTS_STREAM}.{CONSUMER}"),
            json.dumps(request).encode(),
            reply=self._inbox,
        )

    def _forget_pulls(self) -> None:
        self._asked = 0
        self._heard = time.monotonic()

    async def _receive(self, packet: Packet) -> None:
        self._heard = time.monotonic()
        if packet.reply.startswith(_ACK_PREFIX):
            self._asked -= 1
            self._queue.append(PulledDelivery(_log_message(packet), packet.reply, self._bus))
            self._arrived.set()
            return
        status = packet.headers.get("Status")
        if status == "100":
            return
        self._asked -= int(packet.headers.get("Nats-Pending-Messages", self._asked))
        if status == "503":
            # No responder to pull requests: the consumer, its leader, its stream or JetStream is missing.
            self._unheard = True
            self._arrived.set()
        elif status == "409":
            self._adapt(packet.headers.get("Description", ""))

    def _adapt(self, words: str) -> None:
        """Take in why the server ended a pull request: a limit is kept from now on, and all of it is said."""
        exceeded = _LIMIT.search(words)
        if words == "Consumer Deleted":
            self._gone = True
            self._arrived.set()
        elif exceeded is not None and exceeded["what"] == "Batch":
            self._most = max(1, int(exceeded["bound"]))
        elif exceeded is not None:
            self._expires_s = max(_LEAST_EXPIRES_S, self._expires_s / 2)
        if words not in self._said:
            self._said.add(words)
            log.warning(
                "pull_refused", consumer=CONSUMER, said=words[:200], batch=self._most, expires_s=self._expires_s
            )


def _log_message(packet: Packet) -> LogMessage:
    tokens = packet.reply.split(".")
    # Servers with JetStream domains put two more tokens in front of the stream's name.
    at = 2 if len(tokens) == 9 else 4  # noqa: PLR2004 -- tokens of an acknowledgement subject without a domain
    deliveries, seq, _, stored_ns = (int(token) for token in tokens[at + 2 : at + 6])
    return LogMessage(
        seq=seq,
        subject=packet.subject,
        data=packet.data,
        headers=message_headers(packet),
        stored_at=_EPOCH + timedelta(microseconds=stored_ns // 1000),
        deliveries=deliveries,
    )
