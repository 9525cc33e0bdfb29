"""What a backend builds: events, whose fields may be written as other systems write them, outcomes and filters."""

from precedent_backend_adapter.events.arguments import Filter, Outcome, SeverityRange, TimeRange
from precedent_backend_adapter.events.event import SecurityEvent

__all__ = ["Filter", "Outcome", "SecurityEvent", "SeverityRange", "TimeRange"]
