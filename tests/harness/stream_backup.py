"""A stream of a running server saved to a directory and put back, by the snapshots of the JetStream API.

What `nats stream backup` and `nats stream restore` do, for tests that must not need that program: the directory has
the same two files, and either can read what the other wrote.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

DESCRIPTION: Final = "backup.json"
CONTENT: Final = "stream.tar.s2"
_CHUNK_BYTES: Final = 128 * 1024
_PATIENCE_S: Final = 30.0


class StreamBackupFailed(AssertionError):
    """The server refuses, or falls silent; the message has its words."""


async def back_up_stream(client: Client, stream: str, directory: Path) -> dict[str, Any]:
    """Save a stream with its consumers into a new directory; its state as it is in there.

    Raises:
        StreamBackupFailed: the server did not give it.
    """
    inbox = client.new_inbox()
    chunks: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=chunks.put)
    try:
        wanted = {"deliver_subject": inbox, "no_consumers": False, "chunk_size": _CHUNK_BYTES, "jsck": True}
        answer = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", json.dumps(wanted).encode())
        content = bytearray()
        while (chunk := await asyncio.wait_for(chunks.get(), _PATIENCE_S)).data:
            content += chunk.data
            # The server asks now and then if we keep up.
            if chunk.reply:
                await chunk.respond(b"")
    finally:
        await subscription.unsubscribe()
    # The last one is empty, and says in a header if something went wrong.
    status = (chunk.headers or {}).get("Status", "204")
    if status not in {"200", "204"}:
        raise StreamBackupFailed(f"the snapshot of {stream} ended with {chunk.headers}")
    description = {"config": answer["config"], "state": answer["state"]}
    await asyncio.to_thread(_write, directory, json.dumps(description).encode(), bytes(content))
    state: dict[str, Any] = answer["state"]
    return state


async def restore_stream(client: Client, directory: Path) -> dict[str, Any]:
    """Put a saved stream onto a server that has none of that name; its state afterwards.

    Raises:
        StreamBackupFailed: the server did not take it.
    """
    description, content = await asyncio.to_thread(_read, directory)
    stream = json.loads(description)["config"]["name"]
    answer = await _ask(client, f"$JS.API.STREAM.RESTORE.{stream}", description)
    subject = answer["deliver_subject"]
    for start in range(0, len(content), _CHUNK_BYTES):
        await client.request(subject, content[start : start + _CHUNK_BYTES], timeout=_PATIENCE_S)
    state: dict[str, Any] = (await _ask(client, subject, b""))["state"]
    return state


async def _ask(client: Client, subject: str, data: bytes) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads((await client.request(subject, data, timeout=_PATIENCE_S)).data)
    if "error" in answer:
        raise StreamBackupFailed(f"{subject} answered {answer['error']}")
    return answer


def _write(directory: Path, description: bytes, content: bytes) -> None:
    directory.mkdir(parents=True)
    (directory / DESCRIPTION).write_bytes(description)
    (directory / CONTENT).write_bytes(content)


def _read(directory: Path) -> tuple[bytes, bytes]:
    return (directory / DESCRIPTION).read_bytes(), (directory / CONTENT).read_bytes()
