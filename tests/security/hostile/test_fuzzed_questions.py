"""Whatever is asked, the answer is well-formed: a reply as the schemas say, or an error as they say."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

import wire_strategies
from precedent_schemas import codec
from precedent_schemas.catalogue import ENDPOINTS, Endpoint
from precedent_schemas.failures import ERROR_CODES, ErrorBody, ErrorReason
from security.hostile.arena import Arena
from security.hostile.corpus import COLLECTION

AT_ONCE = 20
# A failure is shrunk by hand: each attempt asks a real service.
UNSHRUNK = (Phase.explicit, Phase.generate)


def impatient(request: dict[str, Any]) -> dict[str, Any]:
    """The same, but it waits for nothing."""
    return request | {"wait_ms": 0} if "min_seq" in request else request


async def ask_all(arena: Arena, endpoint: Endpoint, payloads: Sequence[bytes]) -> list[tuple[bytes, dict[str, str]]]:
    """Ask all at once; each reply and its headers."""
    subject = endpoint.subject.replace("*", COLLECTION)
    async with arena.wire() as wire:
        replies = await asyncio.gather(*(wire.client.request(subject, one, timeout=60) for one in payloads))
    return [(reply.data, dict(reply.headers or {})) for reply in replies]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)
def test_every_question_gets_a_well_formed_answer(arena: Arena, endpoint: Endpoint) -> None:
    """Legal, nearly legal and nonsense: a reply that decodes, or an error whose code, reason and headers agree.

    Nothing that can be asked is the indexer's own fault (500), and afterwards it still finds a good event.
    """
    messages = wire_strategies.payloads(wire_strategies.requests[endpoint.name].map(impatient))

    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        derandomize=True,
        phases=UNSHRUNK,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(messages, min_size=AT_ONCE, max_size=AT_ONCE))
    def all_are_answered(payloads: list[bytes]) -> None:
        for payload, (data, headers) in zip(payloads, asyncio.run(ask_all(arena, endpoint, payloads)), strict=True):
            if "Nats-Service-Error-Code" not in headers:
                event("answered")
                codec.decode(endpoint.reply, data)
                assert headers.get("Precedent-Untrusted", "") == ", ".join(endpoint.untrusted)
                continue
            error = codec.decode(ErrorBody, data).error
            event(error.reason)
            assert headers["Nats-Service-Error-Code"] == str(error.code), payload
            assert ERROR_CODES[ErrorReason(error.reason)] == error.code, payload
            assert error.reason != ErrorReason.INTERNAL, payload
            assert error.message.isprintable(), payload

    all_are_answered()


async def test_a_good_event_is_found_afterwards(arena: Arena) -> None:
    """The service that was asked all this goes on."""
    async with arena.wire() as wire:
        await arena.healthy(wire, "fuzzed questions")
