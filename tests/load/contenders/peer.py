"""The afternoon's peer, measured as Precedent is."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import nats
import nats.errors
from nats.aio.client import Client
from nats.js.api import ConsumerInfo

from harness.child_process import ChildProcess
from harness.nats_server import NatsServer
from load import asking, texts
from load.contenders.old import MODEL_DIR
from load.inside_process import PEER, running
from load.results import Latency
from load.session import Session
from precedent_schemas import SecurityEvent

_START_S: Final = 60.0
_ASK_S: Final = 30.0
_POLL_S: Final = 0.05
STREAM: Final = "PEER_EVENTS"
CONSUMER: Final = "peer"
_WINDOW: Final = 256
_SEEDS: Final = {"backlog": 11, "prefill": 33, "busy": 44, "questions": 55}


@dataclass(frozen=True, slots=True)
class Peer:
    """Events per second of a backlog, latencies of questions, and the rate of ingest while they were asked."""

    rate: float
    idle: Latency
    loaded: Latency
    loaded_rate: float


async def measured(session: Session) -> Peer:
    """Everything about the peer, with the same texts and questions that Precedent is given."""
    sizes = session.sizes
    session.say(f"peer: a backlog of {sizes.backlog}, questions idle and during a backlog")
    async with _peer(session, "peer-ingest") as (process, client):
        events = texts.events(texts.distinct_texts(sizes.backlog, _SEEDS["backlog"]), "backlog")
        rate = await _backlog(process, client, list(events))
    async with _peer(session, "peer-questions") as (process, client):

        async def ask(text: str) -> None:
            await _request(client, "peer.search", {"text": text, "k": asking.K})

        prefill = texts.events(texts.distinct_texts(sizes.prefilled, _SEEDS["prefill"]), "prefill")
        await _backlog(process, client, list(prefill))
        questions = texts.questions(_SEEDS["questions"])
        idle = await asking.one_after_another(ask, questions, sizes.questions)
        busy = texts.events(texts.distinct_texts(sizes.backlog, _SEEDS["busy"]), "busy")
        begun = asyncio.Event()
        loading = asyncio.create_task(_backlog(process, client, list(busy), begun))
        begun_or_failed = asyncio.create_task(begun.wait())
        try:
            await asyncio.wait({loading, begun_or_failed}, return_when=asyncio.FIRST_COMPLETED)
            loaded = await asking.while_busy(ask, questions, lambda: not loading.done(), sizes.part_s / 2)
            loaded_rate = await loading
        finally:
            loading.cancel()
            begun_or_failed.cancel()
    session.say(
        f"  {rate:.1f} events/s, p50/p99 idle {idle.p50:.1f}/{idle.p99:.1f} ms, "
        f"loaded {loaded.p50:.1f}/{loaded.p99:.1f} ms"
    )
    return Peer(rate, idle, loaded, loaded_rate)


@contextlib.asynccontextmanager
async def _peer(session: Session, name: str) -> AsyncIterator[tuple[ChildProcess, Client]]:
    """The peer on a server of its own, ready to be asked."""
    folder = session.room(name)
    with NatsServer(folder / "jetstream") as server:
        arguments = [server.url, folder / "chroma", MODEL_DIR]
        async with running(PEER / "service.py", arguments, folder) as process:
            client = await nats.connect(server.url)
            try:
                async with asyncio.timeout(_START_S):
                    while True:
                        if not process.running:
                            raise RuntimeError("the peer ended before it was ready")
                        with contextlib.suppress(nats.errors.NoRespondersError):
                            await _request(client, "peer.count", {})
                            break
                        await asyncio.sleep(_POLL_S)
                yield process, client
            finally:
                await client.close()


async def _backlog(
    process: ChildProcess, client: Client, events: Sequence[SecurityEvent], begun: asyncio.Event | None = None
) -> float:
    """Events per second of a backlog, from the moment the peer may begin until it has acknowledged them all."""
    process.pause()
    try:
        await _publish(client, events)
    finally:
        process.resume()
    began = time.perf_counter()
    if begun is not None:
        begun.set()
    # Asked of the server, so that the asking costs the peer nothing.
    stream = client.jetstream()
    while not _all_done(await stream.consumer_info(STREAM, CONSUMER)):  # noqa: ASYNC110 -- another process works
        await asyncio.sleep(_POLL_S)
    return len(events) / (time.perf_counter() - began)


def _all_done(consumer: ConsumerInfo) -> bool:
    """Whether everything is acknowledged, which the peer does after the upsert."""
    return not consumer.num_pending and not consumer.num_ack_pending


async def _publish(client: Client, events: Sequence[SecurityEvent]) -> None:
    stream = client.jetstream()
    window = asyncio.Semaphore(_WINDOW)

    async def one(event: SecurityEvent) -> None:
        async with window:
            await stream.publish(f"peer.events.{event.kind}", event.model_dump_json().encode())

    await asyncio.gather(*map(one, events))


async def _request(client: Client, subject: str, body: dict[str, object]) -> dict[str, Any]:
    reply = await client.request(subject, json.dumps(body).encode(), timeout=_ASK_S)
    answer: dict[str, Any] = json.loads(reply.data)
    return answer
