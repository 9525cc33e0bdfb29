"""A connection to NATS without one: what is sent is kept, what comes back is said beforehand."""

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from precedent_indexer.adapters.nats.bus import API_TIMEOUT_S, Bus, PacketHandler
from precedent_indexer.domain.messages import Packet
from precedent_indexer.errors import BusUnavailable, JetStreamRefused

Answer = object
"""A value to give, an exception to raise, or a callable of the request's body that does either."""


def refused(err_code: int, code: int = 404) -> JetStreamRefused:
    """An error of the JetStream API."""
    return JetStreamRefused("fake", code, err_code, "refused by the fake")


class FakeBus(Bus):
    """A Bus whose server is a table: verb of the JetStream API, or subject, to what it answers."""

    def __init__(self, **answers: Answer) -> None:
        """No connection."""
        self.instance = "this"
        self._given_domain = ""
        self._api_prefix = "$JS.API"
        self.answers: defaultdict[str, list[Any]] = defaultdict(list)
        for verb, answer in answers.items():
            self.answers[verb].append(answer)
        self.asked: list[tuple[str, Any]] = []
        self.published: list[tuple[str, bytes, str]] = []
        self.stored: list[tuple[str, bytes, dict[str, str]]] = []
        self.handlers: dict[str, PacketHandler] = {}
        self.on_reconnect = []
        self.payload_limit = 1024 * 1024
        self.known_ids: set[str] = set()
        self.services: list[dict[str, Any]] = []

    def answer(self, verb: str, *answers: Answer) -> None:
        """Say what `verb` gets: one after the other, the last one for ever."""
        self.answers[verb] = list(answers)

    def new_inbox(self) -> str:
        """Always the same."""
        return "_INBOX.fake"

    async def publish(
        self, subject: str, data: bytes = b"", *, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Keep it."""
        self.published.append((subject, data, reply))

    async def api(self, verb: str, body: object = None) -> dict[str, Any]:
        """What the table says."""
        found: dict[str, Any] = self._look_up(verb, body)
        return found

    async def request(
        self,
        subject: str,
        data: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float = API_TIMEOUT_S,
    ) -> Packet:
        """What the table says."""
        found: Packet = self._look_up(subject, data)
        return found

    async def request_raw(self, subject: str, data: bytes) -> Packet:
        """What the table says."""
        return await self.request(subject, data)

    async def request_many(self, subject: str, data: bytes, is_last: Callable[[Packet], bool]) -> list[Packet]:
        """What the table says, which may be a list."""
        answer = self._look_up(subject, data)
        packets = answer if isinstance(answer, list) else [answer]
        assert [is_last(one) for one in packets] == [False] * (len(packets) - 1) + [True]
        return packets

    @property
    def max_payload(self) -> int:
        """As a server has it by default."""
        return self.payload_limit

    async def publish_once(self, subject: str, data: bytes, headers: dict[str, str]) -> tuple[int, bool]:
        """Keep it, unless the table refuses it or its message id is known; its place among what was stored."""
        if headers.get("Nats-Msg-Id") in self.known_ids:
            return len(self.stored), True
        if self.answers[subject]:
            self._look_up(subject, data)
        self.stored.append((subject, data, dict(headers)))
        return len(self.stored), False

    async def subscribe(self, subject: str, handler: PacketHandler) -> Callable[[], Awaitable[None]]:
        """Keep the handler, so that a test can call it."""
        self.handlers[subject] = handler

        async def unsubscribe() -> None:
            del self.handlers[subject]

        return unsubscribe

    async def ping_services(self, name: str, wait_s: float) -> list[dict[str, Any]]:
        """The services that were said to be there."""
        return self.services

    async def close(self) -> None:
        """Nothing to close."""

    def _look_up(self, verb: str, body: object) -> Any:
        self.asked.append((verb, body))
        answers = self.answers[verb]
        if not answers:
            raise BusUnavailable(f"fake: nobody answers {verb}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer = answer(body)
        if isinstance(answer, Exception):
            raise answer
        return answer
