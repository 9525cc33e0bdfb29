"""What a publish says whose time runs out between two attempts."""

import pytest
from scripted import QUICK, ScriptedTransport

from precedent_backend_adapter import NotDelivered, SecurityEvent
from precedent_backend_adapter._publishing import delivery
from precedent_backend_adapter._publishing.publications import of_event
from precedent_backend_adapter._transport import Fault, FaultKind
from precedent_backend_adapter.config import Timeouts

EVENT = SecurityEvent(kind="auth", text="failed login")


class Slow(ScriptedTransport):
    """From the second attempt on, ready only when the deadline is over."""

    async def ready(self) -> None:
        """Wait without giving way, as a busy process does."""
        if self.sent:
            clock = delivery.asyncio.get_running_loop().time
            end = clock() + 0.3
            while clock() < end:
                pass


async def test_it_says_what_its_attempts_met() -> None:
    """That there was no time for one more says nothing of the reason."""
    transport = Slow([Fault(FaultKind.NO_RESPONDERS, "no stream took it")])
    with pytest.raises(NotDelivered) as caught:
        await delivery.deliver(transport, of_event(EVENT, None), Timeouts(publish=0.2), QUICK.backoff)
    assert "no stream took it" in str(caught.value)
    assert len(transport.sent) == 1
