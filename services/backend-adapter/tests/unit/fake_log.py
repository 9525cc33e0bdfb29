"""A log in the place of the door to NATS: it stores, drops repetitions, and fails as it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from precedent_backend_adapter import Backoff, Config, OutboxConfig, Precedent, Timeouts
from precedent_backend_adapter._outbox import opened
from precedent_backend_adapter._transport import Ack, Fault, FaultKind, Reply
from precedent_schemas.codec import decode_object

QUICK = Config(
    timeouts=Timeouts(connect=0.05, publish=5, publish_attempt=1, question=1, close=0.2),
    backoff=Backoff(first=0.001, cap=0.01),
)


@dataclass(frozen=True)
class Stored:
    """One message of the log, as it came."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]

    @property
    def body(self) -> dict[str, Any]:
        """What it says."""
        return decode_object(self.payload)


@dataclass
class FakeLog:
    """Keeps what is published; every fault is one of these.

    Attributes:
        refusing: gives the fault of a message, or None to take it.
        lose_acks: so many acknowledgements that are still to be lost after their message was stored.
        attempts: every message that was sent, repetitions included.
    """

    max_payload: int = 1_048_576
    stored: list[Stored] = field(default_factory=list)
    attempts: list[Stored] = field(default_factory=list)
    refusing: Callable[[Stored], Fault | None] = lambda _: None
    lose_acks: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    answer: Reply | None = None
    asked: list[bytes] = field(default_factory=list)

    async def ready(self) -> None:
        """Wait for `connected`."""
        await self.connected.wait()

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Store it once."""
        message = Stored(subject, payload, dict(headers))
        self.attempts.append(message)
        await asyncio.sleep(0)
        fault = self.refusing(message)
        if fault is not None:
            raise fault
        known = [one.headers["Nats-Msg-Id"] for one in self.stored]
        duplicate = headers["Nats-Msg-Id"] in known
        if not duplicate:
            self.stored.append(message)
        if self.lose_acks:
            self.lose_acks -= 1
            raise Fault(FaultKind.CUT, "cut")
        return Ack(known.index(headers["Nats-Msg-Id"]) + 1 if duplicate else len(self.stored), duplicate)

    async def request(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Answer with what was set."""
        self.asked.append(payload)
        assert self.answer is not None
        return self.answer

    async def close(self) -> None:
        """Nothing to leave."""

    @property
    def ids(self) -> list[str]:
        """Ids of what is stored, in order."""
        return [str(one.body.get("id", one.body.get("event_id"))) for one in self.stored]


@asynccontextmanager
async def client(log: FakeLog, path: Path, config: Config = QUICK, **bounds: int) -> AsyncIterator[Precedent]:
    """The real client, with an outbox, over a log."""
    async with opened(config, OutboxConfig(path=path, **bounds), log) as outbox:
        yield Precedent(log, config, outbox)


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds; the test's own limit ends it."""
    while not condition():  # noqa: ASYNC110 -- what is waited for is seen, not told
        await asyncio.sleep(0.001)
