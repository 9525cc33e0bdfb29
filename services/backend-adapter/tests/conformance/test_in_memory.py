"""The in-memory client keeps the promises of the real one."""

from collections.abc import Awaitable, Callable

import pytest
from client_conformance import PublishConformance, QuestionConformance
from many_conformance import PublishManyConformance
from removal_conformance import DeadLetterConformance, RemovalConformance

from precedent_backend_adapter.testing import InMemoryPrecedent


@pytest.fixture
def client() -> InMemoryPrecedent:
    """An empty one."""
    return InMemoryPrecedent()


@pytest.fixture
def publish_raw(client: InMemoryPrecedent) -> Callable[[str, bytes], Awaitable[int]]:
    """Publish as a stranger would."""

    async def publish(subject: str, payload: bytes) -> int:
        return client.publish_raw(subject, payload)

    return publish


class TestPublish(PublishConformance):
    pass


class TestPublishMany(PublishManyConformance):
    pass


class TestQuestions(QuestionConformance):
    pass


class TestRemoval(RemovalConformance):
    pass


class TestDeadLetters(DeadLetterConformance):
    pass
