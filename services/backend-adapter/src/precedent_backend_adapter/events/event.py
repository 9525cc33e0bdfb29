"""`SecurityEvent` as a backend builds it: other systems' times and severities are converted, the rest is strict."""

from pydantic import field_validator

from precedent_backend_adapter.events.normalise import severity, time
from precedent_backend_adapter.events.refusing import Refusing
from precedent_schemas import SecurityEvent as WireEvent


class SecurityEvent(Refusing, WireEvent):
    """An event to publish. `occurred_at` and `severity` may have any form that `events.normalise` converts.

    What is sent is always the form of the wire: RFC 3339 in UTC, and an integer from 1 to 5.

    Raises:
        Refused: a field is wrong; `problems` names each.
    """

    _time = field_validator("occurred_at", mode="before")(time)
    _severity = field_validator("severity", mode="before")(severity)
