"""A server that nobody answers on: whether JetStream is off there, or the stream is missing."""

import pytest
from scripted_server import server

from precedent_backend_adapter import (
    Backoff,
    Config,
    NotDelivered,
    NotDeliveredReason,
    Precedent,
    SecurityEvent,
    Timeouts,
)

EVENT = SecurityEvent(kind="auth", text="failed login")
# One attempt: the pause before a second is longer than the deadline.
ONCE = Config(timeouts=Timeouts(publish=20, publish_attempt=20), backoff=Backoff(first=1e9, cap=1e9))
NOBODY = b"NATS/1.0 503\r\n\r\n"


def no_responders(line: bytes, reply_to: bytes) -> bytes:
    """What a server says of a publish that no stream takes."""
    length = str(len(NOBODY)).encode()
    return b"HMSG %b 2 %b %b\r\n%b\r\n" % (reply_to, length, length, NOBODY) if line.startswith(b"HPUB") else b""


@pytest.mark.parametrize(
    ("info", "said", "unsaid"),
    [
        ({}, "the server has no JetStream: start it with `nats-server --jetstream`", "no response"),
        ({"jetstream": True}, "has `precedent-indexer init` or `serve` created the stream?", "has no JetStream"),
    ],
    ids=["off", "no stream"],
)
async def test_a_server_without_jetstream_is_named_as_such(info: dict[str, object], said: str, unsaid: str) -> None:
    """The server's greeting tells it from a server on which the stream is missing."""
    async with server(no_responders, info) as (url, _), Precedent.connect(url, config=ONCE) as precedent:
        with pytest.raises(NotDelivered) as caught:
            await precedent.publish(EVENT)
    assert caught.value.reason is NotDeliveredReason.UNREACHABLE
    assert said in str(caught.value)
    assert unsaid not in str(caught.value)
