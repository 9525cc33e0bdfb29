"""Publishing to the log: the stream that is meant must acknowledge, in its own JetStream domain.

A leaf node's stream on the same subjects answers as well, with sequences of its own; the first answer is not the last
word.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

from precedent_backend_adapter._nats.library import Client, Msg, js_errors
from precedent_backend_adapter._transport import Ack, Fault, FaultKind
from precedent_schemas.acks import SECOND_ANSWER_S, StreamAck
from precedent_schemas.subjects import stream_of

_NOBODY_LISTENS: Final = "503"
_MOST_NAMED: Final = 4
_OFF: Final = "the server has no JetStream: start it with `nats-server --jetstream`, or connect to one that has it"


class Acknowledgements:
    """Publishes on one connection, and hears every answer to each publish."""

    def __init__(self, client: Client, domain: str | None) -> None:
        """`domain`: JetStream domain of the log; None for that of the server that we are connected to."""
        self._client = client
        self._given_domain = domain
        self._prefix: str | None = None
        self._count = 0
        self._waiting: dict[str, asyncio.Queue[Msg]] = {}
        self._subscribing = asyncio.Lock()

    @property
    def _domain(self) -> str | None:
        """Domain that must acknowledge: empty for none, None where any may."""
        if self._given_domain is not None:
            return self._given_domain
        # Of a server without JetStream it is not known which domain lies behind it.
        info = self._client._server_info  # noqa: SLF001 -- the library shows it nowhere else
        return str(info.get("domain", "")) if info.get("jetstream") else None

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str], seconds: float) -> Ack:
        """Send once, and wait so many `seconds` for the stream that the subject belongs to.

        Raises:
            Fault: other streams alone have answered; or the server has no JetStream, and none lies behind it.
            TimeoutError: nobody has.
            Exception: the library's own, where the stream refuses it, or cannot be reached.
        """
        await self._listen()
        self._count += 1
        reply = f"{self._prefix}.{self._count}"
        answers = self._waiting[reply] = asyncio.Queue()
        others: list[StreamAck] = []
        try:
            await self._client.publish(subject, payload, reply=reply, headers=dict(headers))
            async with asyncio.timeout(seconds):
                ack = await self._awaited(stream_of(subject), answers, others)
        except TimeoutError:
            if not others:
                raise
            raise Fault(FaultKind.NO_ANSWER, self._only(stream_of(subject), others)) from None
        except js_errors.NoStreamResponseError as error:
            if self._client._server_info.get("jetstream"):  # noqa: SLF001 -- as above
                raise
            raise Fault(FaultKind.NO_RESPONDERS, _OFF) from error
        finally:
            del self._waiting[reply]
        return Ack(ack.seq, ack.duplicate)

    async def _listen(self) -> None:
        async with self._subscribing:
            if self._prefix is None:
                prefix = self._client.new_inbox()
                await self._client.subscribe(f"{prefix}.*", cb=self._take)
                self._prefix = prefix

    async def _take(self, message: Msg) -> None:
        answers = self._waiting.get(message.subject)
        if answers is not None:
            answers.put_nowait(message)

    async def _awaited(self, stream: str, answers: "asyncio.Queue[Msg]", others: list[StreamAck]) -> StreamAck:
        """The acknowledgement of `stream`; whatever else is heard before it goes into `others`."""
        while True:
            answer = _read(await answers.get())
            if not answer.is_of(stream, self._domain):
                others.append(answer)
            elif answer.error is None:
                return answer
            else:
                return await self._unless_acknowledged(answer, stream, answers)

    async def _unless_acknowledged(self, refusal: StreamAck, stream: str, answers: "asyncio.Queue[Msg]") -> StreamAck:
        # A refusal does not say which domain it comes from: one of the same name may have taken the message.
        try:
            async with asyncio.timeout(SECOND_ANSWER_S):
                while True:
                    answer = _read(await answers.get())
                    if answer.error is None and answer.is_of(stream, self._domain):
                        return answer
        except TimeoutError:
            raise js_errors.APIError.from_error(refusal.error or {}) from None

    def _only(self, stream: str, others: list[StreamAck]) -> str:
        where = f" of JetStream domain {self._domain}" if self._domain else ""
        said = "; ".join(str(one) for one in others[:_MOST_NAMED])
        return f"stream {stream}{where} did not acknowledge, only: {said}; is jetstream_domain that of the log?"


def _read(message: Msg) -> StreamAck:
    if not message.data and (message.headers or {}).get("Status") == _NOBODY_LISTENS:
        raise js_errors.NoStreamResponseError
    return StreamAck.parse(message.data)
