"""A running indexer, asked over the bus as any caller would."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from pydantic import BaseModel

from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.errors import BusUnavailable, CommandDenied, CommandFailed, NotPermitted
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas import codec
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import SERVICE_ERROR_CODE_HEADER, SERVICE_ERROR_HEADER

_TIMEOUT_S: Final = 10.0
"""Seconds for an answer: an indexer that is catching up answers later than usual."""


class NobodyAnswers(CommandFailed):
    """No indexer is there, or it is too busy to answer."""


class Client:
    """Asks one question at a time."""

    def __init__(self, bus: Bus, server: str) -> None:
        self._bus = bus
        self._server = server

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
            NobodyAnswers: nobody did.
            CommandFailed: the indexer refuses the question, or cannot answer it: the message is the indexer's own.
            CommandDenied: the server does not let us ask it.
        """
        body: BaseModel = endpoint.request.model_validate(request)
        try:
            packet = await self._bus.request(endpoint.subject, codec.encode(body), timeout_s=_TIMEOUT_S)
        except NotPermitted as error:
            raise CommandDenied(str(error)) from error
        except BusUnavailable as error:
            raise NobodyAnswers(
                f"no indexer answers on {self._server}: start one with `precedent-indexer serve`"
            ) from error
        if SERVICE_ERROR_CODE_HEADER in packet.headers:
            raise CommandFailed(f"the indexer answers: {packet.headers.get(SERVICE_ERROR_HEADER, 'an error')}")
        return codec.decode(endpoint.reply, packet.data)
