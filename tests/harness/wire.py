"""A caller that has nothing but the plain NATS client: what anyone can do who holds the contract."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import nats

from harness.waits import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from nats.aio.client import Client

LOG = "SECURITY_EVENTS"
DEAD_LETTERS = "SECURITY_DEAD_LETTERS"
CONSUMER = "indexer"

# Longer than any answer takes on a busy machine; the longest wait_ms comes on top of it.
ASK_SECONDS = 20.0
INDEX_SECONDS = 60.0


class NotAnError(AssertionError):
    """An answer where an error was expected."""


class AnsweredWithError(AssertionError):
    """An error where an answer was expected."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply; that headers and body agree has been checked.

    Attributes:
        fields: the paths of the details, in their order.
    """

    code: int
    reason: str
    message: str
    fields: list[str]


@dataclass(frozen=True, slots=True)
class Stored:
    """One message of a stream, by direct get; headers that the server adds are left out."""

    seq: int
    subject: str
    data: bytes
    headers: dict[str, str]
    stored_at: str


class Wire:
    """One connection, and the contract's verbs on it."""

    def __init__(self, client: Client) -> None:
        self.client = client

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator[Self]:
        """A connection for as long as the block runs; it outlives a restart of the server."""
        client = await nats.connect(url, reconnect_time_wait=0.1, max_reconnect_attempts=-1, error_cb=_unheard)
        try:
            yield cls(client)
        finally:
            await client.close()

    # -- the log

    async def publish(self, subject: str, payload: object, headers: Mapping[str, str] | None = None) -> int:
        """Put bytes as they are, anything else as JSON, into the log; its sequence."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        ack = await self.client.jetstream().publish(subject, data, headers=dict(headers or {}) or None, timeout=10)
        return ack.seq

    async def event(self, collection: str, text: str, *, kind: str = "test", **fields: object) -> int:
        """Publish an event; its sequence."""
        return await self.publish(f"security.events.v1.{collection}.{kind}", {"text": text, **fields})

    async def outcome(self, collection: str, event_id: str, verdict: str, **fields: object) -> int:
        """Publish an outcome; its sequence."""
        body = {"event_id": event_id, "verdict": verdict, **fields}
        return await self.publish(f"security.outcomes.v1.{collection}", body)

    # -- questions

    async def request(self, subject: str, body: object = None) -> tuple[dict[str, Any], dict[str, str]]:
        """Body and headers of the reply, whatever they say. No body sends none, bytes are sent as they are."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = await self.client.request(subject, data, timeout=ASK_SECONDS + _waiting(body))
        return json.loads(reply.data), dict(reply.headers or {})

    async def ask(self, subject: str, body: object = None) -> dict[str, Any]:
        """The reply.

        Raises:
            AnsweredWithError: it is an error.
        """
        reply, headers = await self.request(subject, body)
        if "Nats-Service-Error" in headers or "error" in reply:
            raise AnsweredWithError(f"{subject} answered {reply}")
        return reply

    async def refused(self, subject: str, body: object = None) -> Refusal:
        """The error that comes back; its headers and its body say the same.

        Raises:
            NotAnError: it is an answer.
        """
        reply, headers = await self.request(subject, body)
        if "error" not in reply:
            raise NotAnError(f"{subject} answered {reply}")
        error = reply["error"]
        assert headers["Nats-Service-Error-Code"] == str(error["code"])
        assert headers["Nats-Service-Error"]
        fields = [problem["field"] for problem in error["details"]]
        return Refusal(error["code"], error["reason"], error["message"], fields)

    async def of(self, collection: str, verb: str, **request: object) -> dict[str, Any]:
        """The reply of one collection to a verb."""
        return await self.ask(f"security.index.v1.{collection}.{verb}", request)

    async def search(self, collection: str, **request: object) -> dict[str, Any]:
        """The reply to a search; where it names a `min_seq`, it may wait as long as the contract allows."""
        if "min_seq" in request:
            request.setdefault("wait_ms", 30_000)
        return await self.of(collection, "search", **request)

    async def found(self, collection: str, **request: object) -> list[str]:
        """Ids of the hits of a search, best first."""
        return [hit["event"]["id"] for hit in (await self.search(collection, **request))["hits"]]

    async def listed(self, collection: str, **request: object) -> list[str]:
        """Ids on the first page of a listing, oldest first."""
        reply = await self.of(collection, "list", **{"order": "oldest", "limit": 1000, **request})
        return [entry["event"]["id"] for entry in reply["events"]]

    async def entry(self, collection: str, event_id: str) -> dict[str, Any]:
        """One event that is there, with its sequence and outcome."""
        [entry] = (await self.of(collection, "get", ids=[event_id]))["events"]
        found: dict[str, Any] = entry
        return found

    async def stats(self) -> dict[str, Any]:
        """The stats of the service."""
        return await self.ask("security.index.v1.stats")

    async def covered(self, seq: int) -> None:
        """Wait until the index covers `seq`, whatever became of it."""

        async def probe() -> None:
            indexed = (await self.stats())["indexed_seq"]
            assert indexed >= seq, f"indexed_seq is {indexed}, waiting for {seq}"

        # Nobody listens, or nobody answers, while one of the two is down.
        passing = (AssertionError, nats.errors.Error)
        await eventually(probe, timeout=INDEX_SECONDS, attempt_timeout=ASK_SECONDS, exceptions=passing)

    # -- JetStream

    async def api(self, verb: str, body: object = None) -> dict[str, Any]:
        """The answer of the JetStream API, errors included."""
        data = b"" if body is None else json.dumps(body).encode()
        answer: dict[str, Any] = json.loads((await self.client.request(f"$JS.API.{verb}", data, timeout=10)).data)
        return answer

    async def stored(self, seq: int, *, stream: str = LOG, subject: str | None = None) -> Stored | None:
        """The message at `seq`, or the first from there on whose subject matches; None where there is none."""
        wanted: dict[str, object] = {"seq": seq} if subject is None else {"seq": seq, "next_by_subj": subject}
        reply = await self.client.request(f"$JS.API.DIRECT.GET.{stream}", json.dumps(wanted).encode(), timeout=10)
        headers = dict(reply.headers or {})
        if "Nats-Sequence" not in headers:
            assert headers.get("Status") == "404", headers
            return None
        server = {name: headers.pop(name) for name in ("Nats-Stream", "Nats-Subject", "Nats-Sequence")}
        stored_at = headers.pop("Nats-Time-Stamp")
        return Stored(int(server["Nats-Sequence"]), server["Nats-Subject"], reply.data, headers, stored_at)

    async def dead_letters(self, collection: str) -> list[Stored]:
        """What became a dead letter of a collection (`_`: of none), oldest first."""
        letters: list[Stored] = []
        seq = 1
        while letter := await self.stored(seq, stream=DEAD_LETTERS, subject=f"security.dead.v1.{collection}.>"):
            letters.append(letter)
            seq = letter.seq + 1
        return letters

    async def all_settled(self) -> None:
        """Wait until the consumer has nothing to deliver and nothing in anybody's hands."""

        async def probe() -> None:
            info = await self.api(f"CONSUMER.INFO.{LOG}.{CONSUMER}")
            assert (info["num_pending"], info["num_ack_pending"]) == (0, 0), info

        await eventually(probe, timeout=INDEX_SECONDS)


def _waiting(body: object) -> float:
    return int(body.get("wait_ms", 0)) / 1000 if isinstance(body, dict) and isinstance(body.get("wait_ms"), int) else 0


async def _unheard(_: Exception) -> None:
    """Leave the client's own errors unlogged: those that matter are raised as well."""
