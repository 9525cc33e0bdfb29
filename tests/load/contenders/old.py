"""The stand-in of the service that Precedent replaces, over HTTP."""

import asyncio
import contextlib
import http.client
import json
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from harness.indexer_process import INDEXER
from load import asking, texts
from load.inside_process import INSIDE, running
from load.results import Latency
from load.session import Session

MODEL_DIR: Final = INDEXER.parents[1] / "share" / "precedent-indexer" / "model"
CLIENTS: Final = 8
_START_S: Final = 60.0
_REQUEST_S: Final = 120.0
_POLL_S: Final = 0.05
_SEED: Final = 77


@dataclass(frozen=True, slots=True)
class OldService:
    """Adds per second by one client, latencies idle and while eight clients add, and their adds per second."""

    adds_rate: float
    idle: Latency
    loaded: Latency
    loaded_adds_rate: float


async def measured(session: Session) -> OldService:
    """Everything about the old service."""
    sizes = session.sizes
    session.say(f"old service: {sizes.old_adds} adds, {sizes.old_questions} questions, then both at once")
    some = texts.distinct_texts(sizes.old_adds, _SEED)
    questions = texts.questions(_SEED)
    async with _service(session.room("old")) as port:
        with ThreadPoolExecutor(CLIENTS + 1, "old-client") as threads:
            loop = asyncio.get_running_loop()

            async def ask(text: str) -> None:
                await loop.run_in_executor(threads, _call, port, "/query", {"text": text, "k": asking.K})

            # What is made at the first call is not what a running service costs.
            await loop.run_in_executor(threads, _add, port, "warm-up", "the first event of all")
            await ask("the first question")
            began = time.perf_counter()
            for number, text in enumerate(some):
                await loop.run_in_executor(threads, _add, port, f"old-{number}", text)
            adds_rate = len(some) / (time.perf_counter() - began)
            idle = await asking.one_after_another(ask, questions, sizes.old_questions)
            stopping = threading.Event()
            began = time.perf_counter()
            adders = [
                loop.run_in_executor(threads, _add_until, port, f"client-{number}", some, stopping)
                for number in range(CLIENTS)
            ]
            try:
                deadline = time.monotonic() + sizes.old_loaded_s
                loaded = await asking.while_busy(
                    ask, questions, lambda: time.monotonic() < deadline, sizes.old_loaded_s
                )
            finally:
                stopping.set()
                added = sum(await asyncio.gather(*adders))
            seconds = time.perf_counter() - began
    session.say(
        f"  {adds_rate:.2f} adds/s, p50/p99 idle {idle.p50:.0f}/{idle.p99:.0f} ms, "
        f"loaded {loaded.p50:.0f}/{loaded.p99:.0f} ms"
    )
    return OldService(adds_rate, idle, loaded, added / seconds)


@contextlib.asynccontextmanager
async def _service(folder: Path) -> AsyncIterator[int]:
    """The service on a free port; the port."""
    port_file = folder / "port"
    async with running(INSIDE / "old_service.py", [folder, MODEL_DIR, port_file], folder) as process:
        async with asyncio.timeout(_START_S):
            while not port_file.exists():
                if not process.running:
                    raise RuntimeError("the stand-in of the old service ended before it served")
                await asyncio.sleep(_POLL_S)
            port = int(port_file.read_text(encoding="ascii"))
            while True:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(_call, port, "/count", {})
                    break
                await asyncio.sleep(_POLL_S)
        yield port


def _call(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    # A connection for each call, as the callers of the old service made.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_REQUEST_S)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.HTTPStatus.OK:
            raise RuntimeError(f"the stand-in of the old service answered {response.status} to {path}")
        found: dict[str, Any] = json.loads(answer)
        return found
    finally:
        connection.close()


def _add(port: int, event_id: str, text: str) -> None:
    _call(port, "/add", {"id": event_id, "text": text, "metadata": {"source": "edge", "severity": 3}})


def _add_until(port: int, prefix: str, some: list[str], stopping: threading.Event) -> int:
    added = 0
    while not stopping.is_set():
        _add(port, f"{prefix}-{added}", some[added % len(some)])
        added += 1
    return added
