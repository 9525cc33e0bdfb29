"""The query server: bounds, decodes and answers each question in a task of its own, never with an exception's text."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

import structlog
from pydantic import BaseModel

from precedent_indexer.api.paging import encoded
from precedent_indexer.domain.messages import Packet, Tally
from precedent_indexer.errors import ConsumerGone, Fault, QuestionFailed
from precedent_indexer.observability import tracing
from precedent_indexer.observability.metrics import Metrics
from precedent_indexer.runtime.priority import QUESTIONS
from precedent_schemas import codec
from precedent_schemas.catalogue import GET, LIST, RECURRENCE, SEARCH, Endpoint
from precedent_schemas.failures import DeadReason, ErrorReason, ascii_detail
from precedent_schemas.subjects import (
    COLLECTION_PATTERN,
    SERVICE_ERROR_CODE_HEADER,
    SERVICE_ERROR_HEADER,
    UNTRUSTED_HEADER,
    is_collection,
)

log = structlog.get_logger(__name__)

Verb = Callable[[str, Any], Awaitable[BaseModel]]
"""Collection (empty where the subject has none) and request to reply."""
Reply = Callable[[Packet, bytes, dict[str, str] | None], Awaitable[None]]
Wait = Callable[[int, int], Awaitable[None]]
Prefetch = Callable[[BaseModel, int], Coroutine[None, None, None]]
"""The question, and the sequence that it waits for."""

_MOST_AWAITING: Final = 4_096
"""Questions that may wait for the index to cover a sequence."""
_COLLECTION_TOKEN: Final = 3
_ANSWERED: Final = 200
"""The code of an answer in the metrics, in place of an error's code."""
_COME_FIRST: Final = frozenset({SEARCH.name, RECURRENCE.name, GET.name, LIST.name})
"""Verbs for which background work gives way. Monitoring (`stats`) must not slow down ingest, and `delete` and `clear`
themselves wait for ingest to apply their deletion."""
_YIELD_S: Final = 0.25
"""Longest time in seconds that background work waits for questions, so that it still advances under load."""


class _HandlerSet:
    """The handlers of one generation of the index, and the number of questions that they are answering."""

    def __init__(self, verbs: Mapping[str, Verb]) -> None:
        self.verbs = verbs
        self.busy = 0
        self.idle = asyncio.Event()
        self.idle.set()

    async def answer(self, endpoint: Endpoint, collection: str, request: BaseModel) -> BaseModel:
        self.busy += 1
        self.idle.clear()
        try:
            with QUESTIONS.asking() if endpoint.name in _COME_FIRST else contextlib.nullcontext():
                return await self.verbs[endpoint.name](collection, request)
        finally:
            self.busy -= 1
            if not self.busy:
                self.idle.set()


class QueryServer:
    """Takes every question at once and answers each in its own task."""

    def __init__(
        self,
        verbs: Mapping[str, Verb],
        *,
        reply: Reply,
        wait_until_covered: Wait,
        prefetch: Prefetch,
        max_payload: Callable[[], int],
        at_once: int,
        waiting: int,
        metrics: Metrics,
    ) -> None:
        """`verbs` by the name of their endpoint; `at_once` questions are worked on, `waiting` more may wait.

        `prefetch` may begin what a question needs while it waits for the index to cover a sequence; it is cancelled
        when the wait ends.
        """
        self._handlers = _HandlerSet(verbs)
        self._reply = reply
        self._wait_until_covered = wait_until_covered
        self._prefetch = prefetch
        self._at_once = at_once
        self._max_payload = max_payload
        self._slots = asyncio.Semaphore(at_once)
        self._most = at_once + waiting
        self._tasks: set[asyncio.Task[None]] = set()
        self._awaiting = 0
        self._metrics = metrics

    @property
    def working(self) -> int:
        """Questions that are worked on, or wait for their turn."""
        return len(self._tasks) - self._awaiting

    @property
    def awaiting(self) -> int:
        """Questions that wait for the index to cover a sequence."""
        return self._awaiting

    async def take(self, endpoint: Endpoint, packet: Packet, tally: Tally) -> None:
        """Start to answer; returns at once, so that a slow question delays no other."""
        # A question that waits for the index costs only memory, so many of them may wait.
        overloaded = self.working >= self._most or self._awaiting >= _MOST_AWAITING
        task = asyncio.create_task(self._answer(endpoint, packet, tally, overloaded=overloaded))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until every question taken is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def use(self, verbs: Mapping[str, Verb]) -> Callable[[], Awaitable[object]]:
        """Answer by `verbs` from now on; the result waits until the last question to the old ones is answered."""
        before, self._handlers = self._handlers, _HandlerSet(verbs)
        return before.idle.wait

    async def let_questions_pass(self) -> None:
        """For background work, between two of its parts: wait while questions are in progress, at most 0.25 s."""
        # In a thread, as the store does. A deletion in progress does not count as a question: it waits for this work.
        await asyncio.to_thread(QUESTIONS.let_pass, _YIELD_S)

    async def _answer(self, endpoint: Endpoint, packet: Packet, tally: Tally, *, overloaded: bool) -> None:
        begun = time.perf_counter_ns()
        headers: dict[str, str] | None = None
        code = _ANSWERED
        try:
            with tracing.answering(endpoint, packet):
                if overloaded:
                    raise QuestionFailed(
                        ErrorReason.OVERLOADED, f"{self._most} questions are in hand already: ask again later"
                    )
                data = await self._work(endpoint, packet)
            headers = {UNTRUSTED_HEADER: ", ".join(endpoint.untrusted)} if endpoint.untrusted else None
        except QuestionFailed as error:
            data = codec.encode(error.body())
            headers = {SERVICE_ERROR_CODE_HEADER: str(error.code), SERVICE_ERROR_HEADER: ascii_detail(error.message)}
            code = error.code
            tally.errors += 1
            tally.last_error = f"{error.code}:{error.reason}"
        try:
            await self._reply(packet, data, headers)
        except Exception as error:  # noqa: BLE001 -- the asker may be gone; the service goes on
            log.warning("reply_not_sent", endpoint=endpoint.name, error=type(error).__name__)
        took_ns = time.perf_counter_ns() - begun
        tally.processing_ns += took_ns
        self._metrics.questions.labels(endpoint.name, str(code)).inc()
        self._metrics.question_seconds.labels(endpoint.name).observe(took_ns / 1e9)

    async def _await_index(self, request: BaseModel, seq: int, wait_ms: int) -> None:
        prefetching: asyncio.Task[None] | None = None
        if self._awaiting < self._at_once:
            prefetching = asyncio.create_task(self._prefetch(request, seq))
        self._awaiting += 1
        try:
            await self._wait_until_covered(seq, wait_ms)
        finally:
            self._awaiting -= 1
            if prefetching is not None:
                prefetching.cancel()

    async def _work(self, endpoint: Endpoint, packet: Packet) -> bytes:
        """The encoded reply; every failure leaves as QuestionFailed."""
        try:
            collection = _collection(endpoint, packet.subject)
            request = codec.decode(endpoint.request, packet.data)
            if getattr(request, "min_seq", None) is not None:
                # Outside of the slots: who waits for the index must not keep others from asking it.
                await self._await_index(request, request.min_seq, request.wait_ms)  # type: ignore[attr-defined]
            async with self._slots:
                # Chosen at the last moment: who waited for the index to advance asks the generation of now.
                reply = await self._handlers.answer(endpoint, collection, request)
            return encoded(reply, request, self._max_payload())
        except QuestionFailed:
            raise
        except codec.DecodeError as error:
            reason = ErrorReason.TOO_LARGE if error.reason is DeadReason.TOO_LARGE else ErrorReason.INVALID_REQUEST
            raise QuestionFailed(reason, f"request is not valid: {error}", error.problems) from error
        except (Fault, ConsumerGone) as error:
            log.warning("question_unavailable", endpoint=endpoint.name, error=type(error).__name__)
            raise QuestionFailed(
                ErrorReason.UNAVAILABLE, "the index or the log cannot be read just now: ask again later"
            ) from error
        except Exception as error:
            # No text of an exception leaves the process, nor goes to the log: it may hold what the caller sent.
            log.error("question_failed", endpoint=endpoint.name, error=type(error).__name__, where=_where(error))
            raise QuestionFailed(ErrorReason.INTERNAL, "the indexer failed on this question") from error


def _collection(endpoint: Endpoint, subject: str) -> str:
    if not endpoint.per_collection:
        return ""
    name = subject.split(".")[_COLLECTION_TOKEN]
    if not is_collection(name):
        message = f"collection {name[:64]!a} does not exist: a name must match {COLLECTION_PATTERN}"
        raise QuestionFailed(ErrorReason.NOT_FOUND, message)
    return name


def _where(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "" if frame is None else f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
