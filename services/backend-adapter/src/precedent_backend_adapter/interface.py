"""What a client of Precedent can do: the type to name in a backend's own code.

`Precedent` does it over NATS and `testing.InMemoryPrecedent` in memory; a function that takes a `PrecedentClient` takes
both.
"""

from precedent_backend_adapter._calls.publishing import PublishingCalls
from precedent_backend_adapter._calls.questions import QuestionCalls
from precedent_backend_adapter._calls.removal import RemovalCalls


class PrecedentClient(PublishingCalls, QuestionCalls, RemovalCalls):
    """Publish security events, and ask what is known of events like them.

    Every `timeout` is in seconds and covers the whole call; absent, the client's own setting holds. Arguments
    are checked before anything is sent and refused as the service would. All questions can raise `Refused`,
    `Overloaded`, `Unavailable`, `IndexerFailed` and `ProtocolError`.
    """
