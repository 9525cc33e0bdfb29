"""The NATS service of this process: it sends each question to the query server in use, which can be replaced."""

from typing import Final

import structlog

from precedent_indexer import __version__
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.deliveries import INDEX_UUID_KEY, LOG_KEY
from precedent_indexer.adapters.nats.provision.streams import log_name
from precedent_indexer.adapters.nats.service import NatsService
from precedent_indexer.api.server import QueryServer
from precedent_indexer.domain.index_state import Identity
from precedent_indexer.domain.messages import Packet, Tally
from precedent_schemas import catalogue
from precedent_schemas.catalogue import Endpoint

log = structlog.get_logger(__name__)

SERVICE_DESCRIPTION: Final = "The memory of a security backend: have we seen something like this before?"


class ServiceEndpoint:
    """The NATS service, over the query server in use."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._service = NatsService(bus)
        self.query_server: QueryServer | None = None
        """The query server in use; None before there is an index."""

    async def lead_to(self, query_server: QueryServer, index: Identity, **details: object) -> QueryServer | None:
        """Send questions to `query_server` from now on; the server before, which may still owe answers.

        The first call makes the service, and logs `serving` with `details`.
        """
        before, self.query_server = self.query_server, query_server
        if before is None:
            await self._service.serve(
                catalogue.ENDPOINTS,
                self._take,
                SERVICE_DESCRIPTION,
                {INDEX_UUID_KEY: index.uuid, LOG_KEY: log_name(self._bus, index.stream_created)},
            )
            log.info("serving", version=__version__, index=index.uuid, **details)
        return before

    async def stop_taking(self) -> None:
        """Take no more questions; accepted ones are still answered."""
        await self._service.stop_taking()

    async def drain(self) -> None:
        """Wait until every question taken is answered."""
        if self.query_server is not None:
            await self.query_server.drain()

    async def _take(self, endpoint: Endpoint, packet: Packet, tally: Tally) -> None:
        if self.query_server is not None:
            await self.query_server.take(endpoint, packet, tally)
