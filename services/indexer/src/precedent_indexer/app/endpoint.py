"""Where questions come in, whoever answers them by now: another door takes the place of the last without a gap."""

from typing import Final

import structlog

from precedent_indexer import __version__
from precedent_indexer.adapters.nats.bus import Bus
from precedent_indexer.adapters.nats.deliveries import INDEX_UUID_KEY
from precedent_indexer.api.server import QueryServer
from precedent_indexer.domain.messages import Packet, Tally
from precedent_schemas import catalogue
from precedent_schemas.catalogue import Endpoint

log = structlog.get_logger(__name__)

SERVICE_DESCRIPTION: Final = "The memory of a security backend: have we seen something like this before?"


class ServiceEndpoint:
    """One process's place on the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.query_server: QueryServer | None = None
        """Who answers now; None before there is an index."""

    async def lead_to(self, query_server: QueryServer, index_uuid: str) -> QueryServer | None:
        """From now on questions go to `door`; the one before, which may still owe answers."""
        before, self.query_server = self.query_server, query_server
        if before is None:
            await self._bus.serve(catalogue.ENDPOINTS, self._take, SERVICE_DESCRIPTION, {INDEX_UUID_KEY: index_uuid})
            log.info("serving", version=__version__, index=index_uuid)
        return before

    async def drain(self) -> None:
        """Wait until every question taken is answered."""
        if self.query_server is not None:
            await self.query_server.drain()

    async def _take(self, endpoint: Endpoint, packet: Packet, tally: Tally) -> None:
        if self.query_server is not None:
            await self.query_server.take(endpoint, packet, tally)
