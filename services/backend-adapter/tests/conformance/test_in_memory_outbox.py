"""The in-memory client with an outbox keeps the promises of the real one, those without an outbox included."""

import pytest
from client_conformance import PublishConformance
from many_conformance import PublishManyConformance
from outbox_conformance import Hold, OutboxConformance

from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
def client() -> InMemoryPrecedent:
    """An empty one."""
    return InMemoryPrecedent(outbox=True)


@pytest.fixture
def hold(client: InMemoryPrecedent) -> Hold:
    """Hold its outbox."""

    async def do(held: bool) -> None:
        client.hold_outbox(held=held)

    return do


class TestOutbox(OutboxConformance):
    pass


class TestPublish(PublishConformance):
    pass


class TestPublishMany(PublishManyConformance):
    pass
