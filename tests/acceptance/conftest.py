"""The adapter, connected to the shared stack."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from harness.stack import Stack
from harness.wire import Wire
from precedent_backend_adapter import Precedent


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Precedent]:
    """A backend's client."""
    async with Precedent.connect(stack.server.url) as connected:
        yield connected


@pytest.fixture
def publish_raw(wire: Wire) -> Callable[[str, bytes], Awaitable[int]]:
    """Publish as a stranger would, unchecked; gives the sequence."""
    return wire.publish
