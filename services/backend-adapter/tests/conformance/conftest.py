"""A name for a collection that no other test has."""

import uuid

import pytest

pytest.register_assert_rewrite("client_conformance", "many_conformance", "outbox_conformance", "removal_conformance")


@pytest.fixture
def collection() -> str:
    """A collection of this test alone."""
    return f"test-{uuid.uuid4().hex[:12]}"
