"""The log, read and written through JetStream's API. The only reader of streams."""

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.domain.messages import LogMessage, LogState, Packet
from precedent_indexer.errors import MESSAGE_GONE, BusUnavailable, JetStreamCode, JetStreamRefused
from precedent_indexer.observability import tracing
from precedent_schemas import subjects
from precedent_schemas.codec import encode_log_message
from precedent_schemas.events import Deletion

_ERASE_AT_ONCE: Final = 16
_READ_AT_ONCE: Final = 256
_READ_BYTES: Final = 1024 * 1024
"""Most messages, and bytes, of one request: thousands of messages a second with little memory."""
_LAG_LOOKS: Final = 30
_LAG_PAUSE_S: Final = 0.1
"""Number of requests to a replica that lags behind its leader, and seconds in between."""
_SERVER_HEADERS: Final = frozenset(
    {
        "nats-stream",
        "nats-subject",
        "nats-sequence",
        "nats-time-stamp",
        "nats-num-pending",
        "nats-last-sequence",
        "nats-upto-sequence",
    }
)


class JetStreamLog:
    """`Log` in the stream of security events."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def state(self) -> LogState:
        """The extent of the log now."""
        info = await self._bus.api(f"STREAM.INFO.{subjects.EVENTS_STREAM}")
        state = info["state"]
        return LogState(info["created"], state["first_seq"], state["last_seq"], state["messages"], state["bytes"])

    async def gone(self) -> list[int]:
        """Sequences within it that it no longer has, in order."""
        info = await self._bus.api(f"STREAM.INFO.{subjects.EVENTS_STREAM}", {"deleted_details": True})
        found: list[int] = info["state"].get("deleted") or []
        return found

    async def read(self, first: int, last: int) -> AsyncIterator[LogMessage]:
        """Messages that still exist from `first` to `last`, in order, by batches of direct gets."""
        async for message in read_stream(self._bus, subjects.EVENTS_STREAM, first, last):
            yield message

    async def deletions(self, collection: str, after_seq: int) -> AsyncIterator[LogMessage]:
        """The deletions of a collection after sequence `after_seq`, in order."""
        seq = after_seq + 1
        while message := await next_message(
            self._bus, subjects.EVENTS_STREAM, seq, subjects.deletion_subject(collection)
        ):
            yield message
            seq = message.seq + 1

    async def publish_deletion(self, collection: str, deletion: Deletion) -> int:
        """Publish a deletion; its sequence."""
        headers = {subjects.MSG_ID_HEADER: f"deletion:{secrets.token_hex(16)}", **tracing.carried()}
        return await self._bus.publish_to_stream(
            subjects.deletion_subject(collection), encode_log_message(deletion), headers
        )

    async def erase(self, seqs: Sequence[int]) -> None:
        """Overwrite messages in the log's files; 16 at a time, since each takes the server milliseconds."""
        gate = asyncio.Semaphore(_ERASE_AT_ONCE)

        async def erase_one(seq: int) -> None:
            async with gate:
                try:
                    await self._bus.api(f"STREAM.MSG.DELETE.{subjects.EVENTS_STREAM}", {"seq": seq})
                except JetStreamRefused as error:
                    if error.err_code not in MESSAGE_GONE and await self._exists(seq):
                        raise

        # All are tried, and the first failure is raised as itself: a group of exceptions would be no Fault.
        for failure in await asyncio.gather(*map(erase_one, seqs), return_exceptions=True):
            if failure is not None:
                raise failure

    async def _exists(self, seq: int) -> bool:
        message = await next_message(self._bus, subjects.EVENTS_STREAM, seq)
        return message is not None and message.seq == seq

    async def purge(self, subject_filters: Sequence[str], before_seq: int) -> None:
        """Remove every message on these subjects below `before_seq`."""
        for subject in subject_filters:
            await self._bus.api(f"STREAM.PURGE.{subjects.EVENTS_STREAM}", {"filter": subject, "seq": before_seq})


async def read_stream(
    bus: Bus, stream: str, first: int, last: int | None = None, subject: str = ">"
) -> AsyncIterator[LogMessage]:
    """The messages of a stream that still exist from `first` to `last`, in order; gaps cost nothing.

    Args:
        bus: the connection.
        stream: name of the stream.
        first: the lowest sequence.
        last: the highest sequence; None reads to the end of the stream.
        subject: only messages on this subject, which may have wildcards.

    Raises:
        BusUnavailable: the stream does not answer.
    """
    seq = first
    while last is None or seq <= last:
        most = _READ_AT_ONCE if last is None else min(_READ_AT_ONCE, last - seq + 1)
        messages = await _next_messages(bus, stream, seq, subject, most)
        for message in messages:
            if last is not None and message.seq > last:
                return
            yield message
        if not messages:
            return
        seq = messages[-1].seq + 1


async def _next_messages(bus: Bus, stream: str, seq: int, subject: str, most: int) -> list[LogMessage]:
    """The first messages on `subject` from `seq` on; a single one if the server is older than 2.11, without batches."""
    request = json.dumps({"seq": seq, "next_by_subj": subject, "batch": most, "max_bytes": _READ_BYTES}).encode()

    async def look() -> list[LogMessage]:
        packets = await bus.request_many(_direct_get(bus, stream), request, _ends_batch)
        if len(packets) > 1 and "Nats-Sequence" not in packets[-1].headers:
            packets.pop()
        found = [_read(packet, stream, seq) for packet in packets]
        return [message for message in found if message is not None]

    return await _unless_behind(bus, stream, seq, subject, look)


async def _unless_behind(
    bus: Bus, stream: str, seq: int, subject: str, look: Callable[[], Awaitable[list[LogMessage]]]
) -> list[LogMessage]:
    """The result of `look`; empty only if the stream's leader has no such message either.

    In a cluster any replica answers a direct get. Messages that a lagging replica lacks must not be taken for deleted.

    Raises:
        BusUnavailable: a replica lags for seconds, or there is no leader.
    """
    for _ in range(_LAG_LOOKS):
        if found := await look():
            return found
        try:
            await bus.api(f"STREAM.MSG.GET.{stream}", {"seq": seq, "next_by_subj": subject})
        except JetStreamRefused as error:
            if error.err_code != JetStreamCode.MESSAGE_NOT_FOUND:
                raise
            return []
        await asyncio.sleep(_LAG_PAUSE_S)
    raise BusUnavailable(f"a replica of {stream} lags behind: it has nothing at {seq} or behind it, and the leader has")


def _ends_batch(packet: Packet) -> bool:
    # A server without batches does not say how many messages are pending.
    return "Nats-Sequence" not in packet.headers or "Nats-Num-Pending" not in packet.headers


async def next_message(bus: Bus, stream: str, seq: int, subject: str = ">") -> LogMessage | None:
    """The first message of a stream on `subject` from `seq` on; None if there is none.

    Raises:
        BusUnavailable: the stream does not answer.
    """
    request = json.dumps({"seq": seq, "next_by_subj": subject}).encode()

    async def look() -> list[LogMessage]:
        message = _read(await bus.request_raw(_direct_get(bus, stream), request), stream, seq)
        return [message] if message is not None else []

    return next(iter(await _unless_behind(bus, stream, seq, subject, look)), None)


def _direct_get(bus: Bus, stream: str) -> str:
    return bus.api_subject(f"DIRECT.GET.{stream}")


def _read(packet: Packet, stream: str, seq: int) -> LogMessage | None:
    """The message in a reply; None if the stream has none from `seq` on."""
    found = packet.headers.get("Nats-Sequence")
    if found is None:
        if packet.headers.get("Status") == "404":
            return None
        why = packet.headers.get("Description", "no reason given")
        raise BusUnavailable(f"message {seq} of {stream} cannot be read: {why}")
    return LogMessage(
        seq=int(found),
        subject=packet.headers["Nats-Subject"],
        data=packet.data,
        headers=message_headers(packet),
        stored_at=parse_time(packet.headers["Nats-Time-Stamp"]),
    )


def message_headers(packet: Packet) -> Mapping[str, list[str]]:
    """Headers of the publisher, without those that the server adds to a direct get."""
    return {name: [value] for name, value in packet.headers.items() if name.lower() not in _SERVER_HEADERS}


def parse_time(text: str) -> datetime:
    """Parses a time of the server, truncated to the microsecond.

    Raises:
        BusUnavailable: it is malformed.
    """
    whole, _, fraction = text.rstrip("Z").partition(".")
    # Truncated, not rounded: the consumer's nanoseconds are truncated too.
    with contextlib.suppress(ValueError):
        return datetime.fromisoformat(f"{whole}.{fraction.ljust(6, '0')[:6]}").replace(tzinfo=UTC)
    raise BusUnavailable(f"the server's time {text!r} is not RFC 3339")
