"""The request client of the commands: it asks the running indexer over the bus, as any caller would."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic import BaseModel

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.errors import BusUnavailable, CommandDenied, CommandFailed, NotPermitted
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas import codec
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER, question_subject

_TIMEOUT_S: Final = 10.0
"""Seconds for an answer: an indexer that is catching up answers later than usual."""


class NoAnswer(CommandFailed):
    """No indexer is there, or it is too busy to answer."""


class AnsweredWithError(CommandFailed):
    """The indexer answered with an error.

    Attributes:
        code: the error's code, as in HTTP.
        description: the indexer's message.
    """

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"the indexer answers: {description}")
        self.code = code
        self.description = description


class Client:
    """Asks one question at a time."""

    def __init__(self, bus: Bus, server: str, timeout_s: float = _TIMEOUT_S) -> None:
        """`server`: the NATS server as messages name it; `timeout_s`: seconds to wait for an answer."""
        self._bus = bus
        self._server = server
        self._timeout_s = timeout_s

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, settings: Settings) -> AsyncIterator["Client"]:
        """Over a connection of its own.

        Raises:
            StartRefused: no server was reached, or it refused us.
        """
        bus = await Bus.connect(settings, "precedent-indexer-command")
        try:
            yield cls(bus, without_secrets(settings.nats_url))
        finally:
            await bus.close()

    async def ask(self, endpoint: Endpoint, **request: object) -> Any:  # noqa: ANN401 -- the endpoint's reply
        """The reply of `endpoint`, an instance of its model.

        Raises:
            NoAnswer: no indexer answered in time.
            AnsweredWithError: the indexer refuses the question, or cannot answer it.
            CommandDenied: the server does not permit the question.
        """
        return await self._ask(endpoint, endpoint.subject, request)

    async def ask_collection(self, collection: str, endpoint: Endpoint, **request: object) -> Any:  # noqa: ANN401 -- as above
        """The same for an endpoint that every collection has.

        Raises:
            NoAnswer, AnsweredWithError, CommandDenied: as `ask`.
        """
        return await self._ask(endpoint, question_subject(collection, endpoint.verb), request)

    async def _ask(self, endpoint: Endpoint, subject: str, request: dict[str, object]) -> Any:  # noqa: ANN401 -- as above
        body: BaseModel = endpoint.request.model_validate(request)
        try:
            packet = await self._bus.request(subject, codec.encode(body), timeout_s=self._timeout_s)
        except NotPermitted as error:
            raise CommandDenied(str(error)) from error
        except BusUnavailable as error:
            raise NoAnswer(f"no indexer answers on {self._server}: start one with `precedent-indexer serve`") from error
        if SERVICE_ERROR_CODE_HEADER in packet.headers:
            code = int(packet.headers[SERVICE_ERROR_CODE_HEADER])
            raise AnsweredWithError(code, packet.headers.get(SERVICE_ERROR_HEADER, "an error"))
        return codec.decode(endpoint.reply, packet.data)
