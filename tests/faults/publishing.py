"""A patient publisher: it retries with the same message id until it is told, and writes down what it was told."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import nats.errors
import nats.js.errors

from faults.ledger import Decision, Ledger, Refusal, Version
from harness.waits import eventually
from harness.wire import AnsweredWithError, Wire

COLLECTION: Final = "incidents"
_AT_ONCE: Final = 32
_ATTEMPT_S: Final = 5.0
_WORDS: Final = (
    *("login", "failed", "admin", "root", "ssh", "key", "certificate", "expired", "firewall", "blocked", "beacon"),
    *("dns", "tunnel", "phishing", "mail", "attachment", "macro", "powershell", "encoded", "lateral", "movement"),
    *("kerberos", "ticket", "golden", "hash", "dump", "memory", "ransom", "encrypted", "share", "backup", "deleted"),
    *("snapshot", "bucket", "public", "token", "leaked", "session", "hijacked", "cookie", "stolen", "scan", "port"),
    *("sweep", "vulnerable", "library", "exploit", "overflow", "injection", "query", "union", "traversal", "upload"),
    *("webshell", "privilege", "escalation", "kernel", "module", "rootkit", "persistence", "registry", "scheduled"),
    *("task", "service", "account", "password", "spray", "brute", "force", "lockout", "travel", "impossible", "vpn"),
    *("proxy", "exfiltration", "archive", "usb", "device", "policy", "violation", "insider", "badge", "door"),
)

T = TypeVar("T")


class Publisher:
    """Publishes, revises, decides and deletes through whatever happens meanwhile.

    Args:
        wire: the connection; it reconnects by itself.
        ledger: receives what was acknowledged.
        seed: of texts; two publishers of one ledger need different ones.
        patience: seconds for one acknowledgement, all attempts together.
    """

    def __init__(self, wire: Wire, ledger: Ledger, *, seed: int = 0, patience: float = 60.0) -> None:
        self._wire = wire
        self._ledger = ledger
        self._random = random.Random(seed)
        self._prefix = f"p{seed}"
        self._patience = patience
        self._number = 0

    def text(self) -> str:
        """A sentence that no other event has."""
        self._number += 1
        words = self._random.choices(_WORDS, k=7)
        return f"{' '.join(words)} on host {self._prefix}-{self._number}"

    async def event(self, event_id: str | None = None, *, text: str | None = None, collection: str = COLLECTION) -> str:
        """Publish an event, or revise the one that has this id; its id."""
        text = text or self.text()
        event_id = event_id or f"{self._prefix}-{self._number}"
        severity = self._random.randint(1, 5)
        body = {"id": event_id, "text": text, "severity": severity}
        seq = await self._acknowledged(f"security.events.v1.{collection}.fault", json.dumps(body).encode())
        self._ledger.publish((collection, event_id), Version(text, seq, severity))
        return event_id

    async def event_once(self, *, collection: str = COLLECTION) -> None:
        """Publish an event in a single attempt.

        Raises:
            nats.errors.Error: it was refused, or not answered: whether it is stored is not known.
        """
        text = self.text()
        event_id = f"{self._prefix}-{self._number}"
        self._ledger.published += 1
        self._ledger.unsure[collection, event_id] = text
        stream = self._wire.client.jetstream()
        body = json.dumps({"id": event_id, "text": text}).encode()
        ack = await stream.publish(f"security.events.v1.{collection}.fault", body, timeout=2)
        self._ledger.publish((collection, event_id), Version(text, ack.seq))

    async def anonymous(self, *, collection: str = COLLECTION) -> str:
        """Publish an event without an id; the one that its sequence gives it."""
        text = self.text()
        seq = await self._acknowledged(f"security.events.v1.{collection}.fault", json.dumps({"text": text}).encode())
        self._ledger.publish((collection, f"seq-{seq}"), Version(text, seq))
        return f"seq-{seq}"

    async def events(self, count: int, *, collection: str = COLLECTION) -> list[str]:
        """Publish so many, several at a time; their ids."""
        return await in_parallel([partial(self.event, collection=collection)] * count)

    async def revise(self, ids: Sequence[str], *, collection: str = COLLECTION) -> None:
        """Publish these again with other contents; no id twice."""
        await in_parallel([partial(self.event, one, collection=collection) for one in ids])

    async def decide(self, event_id: str, verdict: str, *, collection: str = COLLECTION) -> None:
        """Publish an outcome."""
        body = {"event_id": event_id, "verdict": verdict}
        seq = await self._acknowledged(f"security.outcomes.v1.{collection}", json.dumps(body).encode())
        self._ledger.decide((collection, event_id), Decision(verdict, seq))

    async def delete(self, ids: Sequence[str], *, collection: str = COLLECTION) -> None:
        """Ask for a deletion until it is answered."""

        async def attempt() -> None:
            await self._wire.of(collection, "delete", ids=list(ids))

        self._ledger.published += len(ids)
        passing = (AnsweredWithError, nats.errors.Error)
        await eventually(attempt, timeout=self._patience, attempt_timeout=self._patience, exceptions=passing)
        for event_id in ids:
            self._ledger.delete((collection, event_id))

    async def poison(
        self, data: bytes, reason: str, *, subject: str | None = None, collection: str = COLLECTION
    ) -> int:
        """Publish what cannot be indexed; its sequence."""
        seq = await self._acknowledged(subject or f"security.events.v1.{collection}.fault", data)
        self._ledger.refuse(seq, Refusal(collection, reason))
        return seq

    async def _acknowledged(self, subject: str, data: bytes) -> int:
        headers: dict[str, Any] = {"Nats-Msg-Id": uuid.uuid4().hex}

        async def attempt() -> int:
            stream = self._wire.client.jetstream()
            return (await stream.publish(subject, data, timeout=_ATTEMPT_S, headers=dict(headers))).seq

        self._ledger.published += 1
        # A refusal of the stream is an error as well: whoever fills a stream publishes by other means.
        passing = nats.errors.Error
        return await eventually(
            attempt, timeout=self._patience, attempt_timeout=2 * _ATTEMPT_S, interval=0.02, exceptions=passing
        )


async def in_parallel(calls: Sequence[Callable[[], Awaitable[T]]], at_once: int = _AT_ONCE) -> list[T]:
    """The results of all calls in their order, so many under way at a time; the first failure is raised."""
    places = asyncio.Semaphore(at_once)

    async def run(call: Callable[[], Awaitable[T]]) -> T:
        async with places:
            return await call()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(call)) for call in calls]
    return [task.result() for task in tasks]
