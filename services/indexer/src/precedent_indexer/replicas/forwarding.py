"""Forwards questions that only the writer can answer."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from pydantic import BaseModel

from precedent_indexer.api.server import QueryServer, Verb
from precedent_indexer.domain.messages import Packet, Tally
from precedent_indexer.domain.writers import Claim
from precedent_indexer.errors import QuestionFailed
from precedent_schemas import catalogue, codec
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.failures import ErrorBody, ErrorReason
from precedent_schemas.subjects import NO_COLLECTION, REPLICAS_PREFIX, SERVICE_ERROR_CODE_HEADER

_TIMEOUT_S: Final = 35.0
"""Seconds for an answer: more than a deletion waits until it is applied."""
_GLANCE_S: Final = 5.0
_BY_NAME: Final = {endpoint.name: endpoint for endpoint in catalogue.ENDPOINTS}


class Requester(Protocol):
    """How the other replica is asked."""

    async def request(self, subject: str, data: bytes = b"", *, timeout_s: float) -> Packet:
        """Send and wait for the answer.

        Raises:
            BusUnavailable: there was no answer in time, or there is no subscriber.
        """


def writers_subject(token: int) -> str:
    """The subject of the writer with this token; an earlier writer, with a lower token, gets none of its messages."""
    return f"{REPLICAS_PREFIX}.*.*.{token}"


def forwarded(endpoint: Endpoint, bus: Requester, claim: Callable[[], Claim | None]) -> Verb:
    """Answers a question by what the writer answers; `claim` is what is known of the lease."""
    timeout_s = _GLANCE_S if endpoint in {catalogue.STATS, catalogue.REBUILD, catalogue.VERIFY} else _TIMEOUT_S

    async def ask(collection: str, request: Any) -> BaseModel:  # noqa: ANN401 -- each endpoint has its own model
        holder = claim()
        if holder is None or not holder.holder:
            raise QuestionFailed(
                ErrorReason.UNAVAILABLE, "no replica writes the index just now, another will shortly: ask again later"
            )
        subject = f"{REPLICAS_PREFIX}.{collection or NO_COLLECTION}.{endpoint.name}.{holder.token}"
        answer = await bus.request(subject, codec.encode(request), timeout_s=timeout_s)
        if SERVICE_ERROR_CODE_HEADER in answer.headers:
            told = codec.decode(ErrorBody, answer.data).error
            raise QuestionFailed(ErrorReason(told.reason), told.message, told.details)
        return codec.decode(endpoint.reply, answer.data)

    return ask


async def take_forwarded(query_server: QueryServer, packet: Packet) -> None:
    """Answer a question that another replica forwards; a malformed one gets no answer."""
    name = packet.subject.split(".")[4]
    endpoint = _BY_NAME.get(name)
    if endpoint is not None and packet.reply:
        await query_server.take(endpoint, packet, Tally())
