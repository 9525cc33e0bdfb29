"""The two operations that every method of a client comes down to, and the check of a question's arguments."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from precedent_backend_adapter._calls import arguments
from precedent_backend_adapter._publishing import publications
from precedent_backend_adapter._tracing import context
from precedent_backend_adapter.errors import invalid
from precedent_backend_adapter.receipts import Publication, Receipt
from precedent_schemas import DecodeError
from precedent_schemas.catalogue import Endpoint
from precedent_schemas.codec import validate

Reply = TypeVar("Reply", bound=BaseModel)


class Calls(ABC):
    """What a client must provide: send a publication, ask a question."""

    _question_timeout: float

    @abstractmethod
    async def _send(self, publication: Publication) -> Receipt:
        """Publish `publication` to the log."""

    @abstractmethod
    async def _ask(
        self, endpoint: Endpoint, collection: str | None, request: BaseModel, reply: type[Reply], seconds: float
    ) -> Reply:
        """Ask a question whose arguments have been checked."""

    async def _checked(
        self,
        endpoint: Endpoint,
        collection: str | None,
        fields: Mapping[str, Any],
        reply: type[Reply],
        seconds: float | None,
    ) -> Reply:
        """Check the arguments as the service would, then ask."""
        if endpoint.per_collection:
            publications.check_collection(collection)
        longest = self._question_timeout if seconds is None else arguments.seconds("timeout", seconds)
        try:
            # An absent argument takes the default of the wire, so that both sides have the same.
            request = validate(endpoint.request, {name: value for name, value in fields.items() if value is not None})
        except DecodeError as error:
            raise invalid(error.problems) from error
        with context.asking(endpoint, collection):
            return await self._ask(endpoint, collection, request, reply, longest)
