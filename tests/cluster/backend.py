"""A backend that publishes through the adapter, and asks, for as long as servers fail."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

from faults.ledger import Decision, Version
from faults.publishing import COLLECTION
from harness.background import Background
from harness.waits import eventually
from precedent_backend_adapter import DeliveryUnknown, NotDelivered, Outcome, PrecedentError, SecurityEvent, Verdict

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

    from faults.ledger import Ledger
    from precedent_backend_adapter import Precedent
    from precedent_backend_adapter.receipts import Receipt

PATIENCE_S: Final = 90.0
_WRITERS: Final = 4
_PAUSE_S: Final = 0.1
_TOPICS: Final = ("failed logins", "beacon", "phishing mail", "key leaked", "port scan", "ransom note", "tunnel")


class Backend(Background):
    """Writers that publish, revise and decide, and one who asks, while the block runs.

    Args:
        precedent: the adapter's client.
        ledger: receives what was acknowledged.
    """

    def __init__(self, precedent: Precedent, ledger: Ledger) -> None:
        super().__init__()
        self._precedent = precedent
        self._ledger = ledger
        self.answered = 0
        """Questions that were answered."""
        self.unanswered = 0
        """Questions that were not: who asks is told so, and asks again."""
        self.longest_silence_s = 0.0
        """Between two answers."""

    async def goes_on(self) -> None:
        """Wait until an event of this very moment is acknowledged, indexed and found."""
        text = f"what came at {time.monotonic_ns()}"
        receipt = await self._deliver(SecurityEvent(kind="fault", text=text))
        self._ledger.publish((COLLECTION, receipt.id), Version(text, receipt.seq))

        async def found() -> None:
            answer = await self._precedent.search(text, after=receipt, wait=5, k=10)
            assert receipt.id in [hit.event.id for hit in answer.hits]

        await eventually(
            found, timeout=PATIENCE_S, attempt_timeout=30, interval=0.1, exceptions=(AssertionError, PrecedentError)
        )

    def _works(self) -> Iterable[Coroutine[object, object, None]]:
        return [*(self._write(number) for number in range(_WRITERS)), self._ask()]

    async def _write(self, number: int) -> None:
        dice = random.Random(number)
        ids: list[str] = []
        while not self._stopping.is_set():
            if ids and dice.random() < 0.2:
                event_id, verdict = dice.choice(ids), dice.choice(list(Verdict))
                receipt = await self._deliver(Outcome(event_id=event_id, verdict=verdict))
                self._ledger.decide((COLLECTION, event_id), Decision(verdict.value, receipt.seq))
            else:
                again = bool(ids) and dice.random() < 0.2
                event_id = dice.choice(ids) if again else f"w{number}-{len(ids)}"
                text = f"{dice.choice(_TOPICS)} on host {number}-{dice.randrange(10**9)}"
                severity = dice.randint(1, 5)
                receipt = await self._deliver(SecurityEvent(id=event_id, kind="fault", text=text, severity=severity))
                self._ledger.publish((COLLECTION, event_id), Version(text, receipt.seq, severity))
                ids += [] if again else [event_id]
            await asyncio.sleep(_PAUSE_S)

    async def _deliver(self, message: SecurityEvent | Outcome) -> Receipt:
        deadline = time.monotonic() + PATIENCE_S
        publishing = (
            self._precedent.publish(message)
            if isinstance(message, SecurityEvent)
            else self._precedent.publish_outcome(message)
        )
        while True:
            try:
                return await publishing
            except (DeliveryUnknown, NotDelivered) as error:
                # What its documentation tells callers to do.
                if time.monotonic() > deadline:
                    raise
                publishing = self._precedent.republish(error.pending)

    async def _ask(self) -> None:
        dice = random.Random("questions")
        last = time.monotonic()
        while not self._stopping.is_set():
            try:
                await self._precedent.search(dice.choice(_TOPICS), k=5)
            except PrecedentError:
                self.unanswered += 1
            else:
                self.answered += 1
                self.longest_silence_s = max(self.longest_silence_s, time.monotonic() - last)
                last = time.monotonic()
            await asyncio.sleep(_PAUSE_S)
