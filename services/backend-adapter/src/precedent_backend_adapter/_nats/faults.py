"""What each exception of the library means on the wire: one table, most specific first."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from precedent_backend_adapter._nats.library import errors, js_errors
from precedent_backend_adapter._transport import Fault, FaultKind

API_CODES: Final[Mapping[int, FaultKind]] = {
    10002: FaultKind.LOG_FULL,  # resource limits of the account
    10023: FaultKind.LOG_FULL,  # insufficient resources
    10047: FaultKind.LOG_FULL,  # insufficient storage
    10077: FaultKind.LOG_FULL,  # maximum messages or bytes, where old ones are not discarded
    10054: FaultKind.TOO_LARGE,  # message size exceeds the stream's maximum
    10158: FaultKind.BUSY,  # an earlier attempt of the very same message is still being stored
    10060: FaultKind.REJECTED,  # expected stream does not match
}
"""JetStream's own error codes, before the class of the exception is looked at."""

TABLE: Final[Sequence[tuple[type[BaseException], FaultKind]]] = (
    # -- publishing and asking
    (js_errors.NoStreamResponseError, FaultKind.NO_RESPONDERS),
    (errors.NoRespondersError, FaultKind.NO_RESPONDERS),
    (js_errors.ServiceUnavailableError, FaultKind.BUSY),
    (js_errors.ServerError, FaultKind.BUSY),
    (js_errors.TooManyStalledMsgsError, FaultKind.NOT_SENT),
    (js_errors.APIError, FaultKind.REJECTED),
    (errors.MaxPayloadError, FaultKind.TOO_LARGE),
    (errors.OutboundBufferLimitError, FaultKind.NOT_SENT),
    # -- the connection
    (errors.StaleConnectionError, FaultKind.CUT),
    (errors.ConnectionReconnectingError, FaultKind.NOT_SENT),
    (errors.ConnectionClosedError, FaultKind.NOT_SENT),
    (errors.ConnectionDrainingError, FaultKind.CLOSED),
    (errors.NoServersError, FaultKind.NOT_SENT),
    (errors.SecureConnRequiredError, FaultKind.NOT_SENT),
    (errors.SecureConnWantedError, FaultKind.NOT_SENT),
    (errors.SecureConnFailedError, FaultKind.NOT_SENT),
    (errors.ServerNotInPoolError, FaultKind.NOT_SENT),
    (errors.AuthorizationError, FaultKind.NOT_PERMITTED),
    (errors.InvalidUserCredentialsError, FaultKind.NOT_PERMITTED),
    # -- refused by the library before anything is sent
    (errors.BadSubjectError, FaultKind.REJECTED),
    (errors.BadHeaderError, FaultKind.REJECTED),
    (errors.BadTimeoutError, FaultKind.REJECTED),
    (errors.BadSubscriptionError, FaultKind.REJECTED),
    (errors.InvalidCallbackTypeError, FaultKind.REJECTED),
    # -- of parts of the library that are not used here: should one come all the same, nothing is certain
    (errors.SlowConsumerError, FaultKind.UNEXPECTED),
    (errors.JsonParseError, FaultKind.UNEXPECTED),
    (errors.ProtocolError, FaultKind.UNEXPECTED),
    (errors.NotJSMessageError, FaultKind.UNEXPECTED),
    (errors.MsgAlreadyAckdError, FaultKind.UNEXPECTED),
    (js_errors.Error, FaultKind.UNEXPECTED),
    # -- timeouts of the library are also asyncio's, and those are OSErrors
    (TimeoutError, FaultKind.NO_ANSWER),
    (OSError, FaultKind.CUT),
    (errors.Error, FaultKind.UNEXPECTED),
    # -- an acknowledgement that is none
    (json.JSONDecodeError, FaultKind.UNEXPECTED),
    (Exception, FaultKind.UNEXPECTED),
)
"""What each exception means, most specific first: the first entry that fits counts."""


def translated(error: BaseException, doing: str) -> Fault:
    """The fault that a foreign exception stands for."""
    code = error.err_code if isinstance(error, js_errors.APIError) else None
    kind = API_CODES.get(code) if code is not None else None
    if kind is None:
        kind = next(kind for foreign, kind in TABLE if isinstance(error, foreign))
    return Fault(kind, f"{doing}: {str(error) or type(error).__name__}")
