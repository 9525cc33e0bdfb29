"""The event that a backend builds, whose fields may also be written as other systems write them."""

from precedent_backend_adapter.events.event import SecurityEvent

__all__ = ["SecurityEvent"]
