"""A transport that follows a script, in the place of the door to NATS."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from precedent_backend_adapter._transport import Ack, Fault, Reply
from precedent_backend_adapter.client import Precedent
from precedent_backend_adapter.config import Backoff, Config, Timeouts

QUICK = Config(
    timeouts=Timeouts(publish=0.5, publish_attempt=0.1, question=0.2), backoff=Backoff(first=0.001, cap=0.001)
)


@dataclass
class Sent:
    """One message as it left."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]
    seconds: float


@dataclass
class ScriptedTransport:
    """Does what the script says, one step for each message; the last step repeats."""

    steps: list[Ack | Reply | Fault]
    max_payload: int = 1_048_576
    sent: list[Sent] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._left = deque(self.steps)
        self.connected.set()

    async def ready(self) -> None:
        """Wait for `connected`."""
        await self.connected.wait()

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Take the next step."""
        step = self._next(Sent(subject, payload, dict(headers), seconds))
        assert isinstance(step, Ack), step
        return step

    async def request(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Reply:
        """Take the next step."""
        step = self._next(Sent(subject, payload, dict(headers), seconds))
        assert isinstance(step, Reply), step
        return step

    async def close(self) -> None:
        """Nothing to leave."""

    def _next(self, sent: Sent) -> Ack | Reply:
        self.sent.append(sent)
        step = self._left.popleft() if len(self._left) > 1 else self._left[0]
        if isinstance(step, Fault):
            raise step
        return step


def client(
    *steps: Ack | Reply | Fault, config: Config = QUICK, max_payload: int = 1_048_576
) -> tuple[Precedent, ScriptedTransport]:
    """The real client over a scripted transport."""
    transport = ScriptedTransport(list(steps), max_payload)
    return Precedent(transport, config), transport
