"""Answers that a request waits for: any number of them, or the acknowledgement of a publish.

A publish waits for the stream that the subject belongs to, in its own JetStream domain: a leaf node's stream on the
same subjects answers as well, with sequences of its own.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, JetStreamRefused
from precedent_schemas.acks import SECOND_ANSWER_S, StreamAck
from precedent_schemas.subjects import stream_of

log = structlog.get_logger(__name__)

_NOBODY_LISTENS: Final = "503"


def api_prefix(domain: str | None) -> str:
    """Subject prefix of JetStream's API in a domain; None is the domain of the connected server."""
    return f"$JS.{domain}.API" if domain else "$JS.API"


def refusal(what: str, error: dict[str, Any]) -> JetStreamRefused:
    """The error in a reply of JetStream."""
    return JetStreamRefused(
        what, int(error.get("code", 0)), int(error.get("err_code", 0)), str(error.get("description", ""))
    )


@dataclass(slots=True)
class Answers:
    """The answers to one request so far; `complete` is set by the one that `is_last` accepts."""

    is_last: Callable[[Packet], bool]
    packets: list[Packet] = field(default_factory=list)
    complete: asyncio.Event = field(default_factory=asyncio.Event)


class ReplyInbox:
    """One subscription for the answers to many requests, each with a reply subject of its own."""

    def __init__(
        self,
        new_inbox: Callable[[], str],
        subscribe: Callable[[str, Callable[[Packet], Awaitable[None]]], Awaitable[object]],
    ) -> None:
        self._new_inbox = new_inbox
        self._subscribe = subscribe
        self._prefix = ""
        self._count = 0
        self._awaited: dict[str, Answers] = {}

    @contextlib.asynccontextmanager
    async def awaiting(self, is_last: Callable[[Packet], bool]) -> AsyncIterator[tuple[str, Answers]]:
        """A fresh reply subject, and the answers that arrive there up to the one that `is_last` accepts."""
        if not self._prefix:
            self._prefix = self._new_inbox()
            await self._subscribe(f"{self._prefix}.*", self._take)
        self._count += 1
        reply = f"{self._prefix}.{self._count}"
        answers = self._awaited[reply] = Answers(is_last)
        try:
            yield reply, answers
        finally:
            del self._awaited[reply]

    async def _take(self, packet: Packet) -> None:
        answers = self._awaited.get(packet.subject)
        if answers is not None and not answers.complete.is_set():
            answers.packets.append(packet)
            if answers.is_last(packet):
                answers.complete.set()


class AwaitedAck:
    """Collects the replies to one publish until the expected stream has answered."""

    def __init__(self, subject: str, domain: str | None) -> None:
        """`domain`: as `Bus.domain`."""
        self._subject = subject
        self._stream = stream_of(subject)
        self._domain = domain
        self._ack: StreamAck | None = None
        self._refusal: StreamAck | None = None
        self._is_refused = asyncio.Event()
        self._others: list[str] = []
        self._heard = "no answer in time"

    def take(self, packet: Packet) -> bool:
        """Add a reply; whether it is the last one."""
        if not packet.data and packet.headers.get("Status") == _NOBODY_LISTENS:
            self._heard = f"no stream takes it, or JetStream is off (is there a stream {self._stream}?)"
            return True
        try:
            answer = StreamAck.parse(packet.data)
        except (ValueError, TypeError):
            self._others.append("an answer that is no acknowledgement")
            return False
        if not answer.is_of(self._stream, self._domain):
            self._others.append(str(answer))
            return False
        if answer.error is not None:
            self._refusal = answer
            self._is_refused.set()
            return False
        self._ack = answer
        return True

    async def refused_or(self, complete: asyncio.Event) -> None:
        """Wait until `complete`, or until no acknowledgement has followed a refusal for a moment."""
        accepted = asyncio.ensure_future(complete.wait())
        refused = asyncio.ensure_future(self._is_refused.wait())
        try:
            await asyncio.wait({accepted, refused}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({accepted}, timeout=SECOND_ANSWER_S)
        finally:
            accepted.cancel()
            refused.cancel()

    def result(self) -> StreamAck:
        """The acknowledgement.

        Raises:
            BusUnavailable: none came; it may be stored nevertheless.
            JetStreamRefused: the stream refused it.
        """
        if self._ack is not None:
            if self._others:
                log.debug("other_streams_answered", subject=self._subject, answers=self._others[:4])
            return self._ack
        if self._refusal is not None and self._refusal.error is not None:
            raise refusal(self._subject, self._refusal.error)
        if not self._others:
            raise BusUnavailable(f"no acknowledgement of {self._subject}: {self._heard}")
        where = f" of JetStream domain {self._domain}" if self._domain else ""
        others = "; ".join(self._others[:4])
        raise BusUnavailable(
            f"no acknowledgement of {self._subject} by stream {self._stream}{where}, only: {others}; "
            "is PRECEDENT_JETSTREAM_DOMAIN that of the log?"
        )
