"""The NATS service (ADR-32) of this process: its endpoints, its discovery, its statistics."""

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import nats.micro
from nats.micro.request import Request
from nats.micro.service import EndpointStats, ServiceConfig

from precedent_indexer import __version__
from precedent_indexer.adapters.nats.bus import Bus, packet_of
from precedent_indexer.domain.messages import Packet, Tally
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.subjects import QUEUE_GROUP, SERVICE

HOST_KEY: Final = "host"
"""Key of the service's metadata with the name of the host (pod or container) that an instance runs on."""
_DISCOVERY: Final = ("PING", "INFO", "STATS")

QuestionHandler = Callable[[Endpoint, Packet, Tally], Awaitable[None]]


class NatsService:
    """The service on one connection."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._service: nats.micro.service.Service | None = None
        self._tallies: dict[str, Tally] = {}

    async def serve(
        self, endpoints: tuple[Endpoint, ...], handler: QuestionHandler, description: str, metadata: dict[str, str]
    ) -> None:
        """Register the endpoints: `handler` gets each question at once and replies later through `Bus.reply`.

        Raises:
            NotPermitted: the credentials do not let us subscribe to the questions.
        """
        config = ServiceConfig(
            name=SERVICE,
            version=__version__,
            description=description,
            metadata={"pid": str(os.getpid()), HOST_KEY: socket.gethostname(), **metadata},
            queue_group=QUEUE_GROUP,
            stats_handler=self._fill_in,
        )
        self._service = await nats.micro.add_service(self._bus.client, config)
        for endpoint in endpoints:
            tally = self._tallies.setdefault(endpoint.name, Tally())
            await self._service.add_endpoint(
                name=endpoint.name,
                subject=endpoint.subject,
                handler=_handing_over(endpoint, handler, tally),
                metadata=endpoint.metadata(),
            )
        await self._bus.settle()
        self._bus.denials.check_heard(*(f"$SRV.{verb}" for verb in _DISCOVERY), *(one.subject for one in endpoints))
        self._bus.denials.aloud = True

    async def stop_taking(self) -> None:
        """Unsubscribe from the questions; accepted ones can still be answered."""
        if self._service is not None and not self._bus.client.is_closed:
            await self._service.stop()
            self._service = None
            await self._bus.settle()

    def _fill_in(self, stats: EndpointStats) -> None:
        tally = self._tallies[stats.name]
        stats.num_errors, stats.last_error = tally.errors, tally.last_error
        stats.processing_time = tally.processing_ns
        stats.average_processing_time = tally.processing_ns // max(stats.num_requests, 1)


def _handing_over(endpoint: Endpoint, handler: QuestionHandler, tally: Tally) -> Callable[[Request], Awaitable[None]]:
    async def hand_over(request: Request) -> None:
        # The request does not show its message, which has the reply subject.
        packet = packet_of(request._msg)  # noqa: SLF001
        # A message without a reply subject is no question. The acknowledgement of a publish is one: the server sends
        # it to the subject that the publisher names, even if the publisher may not publish there.
        if packet.reply:
            await handler(endpoint, packet, tally)

    return hand_over
