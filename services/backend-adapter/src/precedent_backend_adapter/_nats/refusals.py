"""A server that is away comes back; one that refuses us does so until its operator or ours changes something.

Attempts go on all the same, since what was changed can be changed back, but ever more rarely; and a call that waits for
a connection meanwhile is told why there is none.
"""

import random
import ssl
from typing import Final

from precedent_backend_adapter._nats.library import errors
from precedent_backend_adapter._nats.secure_client import CertificateWantedError
from precedent_backend_adapter._transport import Fault, FaultKind

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_MOST_DOUBLINGS: Final = 10

_HINTS: Final = {
    errors.SecureConnWantedError: "TLS is demanded here, and the server does not offer it as required",
    CertificateWantedError: "give one by tls.cert_file and tls.key_file",
    ssl.SSLCertVerificationError: "is this the server meant, and tls.ca_file its authority?",
}
"""What does not fit in the handshake."""


def read(error: Exception) -> Fault:
    """What an attempt to connect failed by: the kind says whether it is a refusal."""
    said = str(error) or repr(error)
    if "authorization violation" in said.lower():
        return _fault(FaultKind.NOT_PERMITTED, said, error)
    hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), None)
    if hint is not None:
        return _fault(FaultKind.NOT_TRUSTED, f"{said}: {hint}", error)
    return _fault(FaultKind.NOT_SENT, said, error)


def _fault(kind: FaultKind, message: str, cause: Exception) -> Fault:
    fault = Fault(kind, message)
    fault.__cause__ = cause
    return fault


class Refusals:
    """Those since we were last connected, by whichever server.

    Attributes:
        last: the newest of them, once there are enough to speak for every server.
    """

    def __init__(self) -> None:
        self.last: Fault | None = None
        self._count = 0
        self._rounds = 0

    def take(self, fault: Fault, servers: int) -> bool:
        """Note one, where there are so many `servers`; whether it is the one that makes it certain."""
        self._count += 1
        if self._count < servers:
            return False
        certain = self.last is None
        self.last, self._rounds = fault, self._count // servers
        return certain

    def forget(self) -> None:
        """We are connected."""
        self.last, self._count, self._rounds = None, 0, 0

    def pause_s(self) -> float:
        """Seconds to rest before the next attempt: none until every server has refused."""
        if self.last is None:
            return 0.0
        longest = min(_FIRST_PAUSE_S * 2 ** min(self._rounds, _MOST_DOUBLINGS), _LONGEST_PAUSE_S)
        # At random: those who were refused together do not come back together.
        return random.uniform(longest / 2, longest)  # noqa: S311 -- spreads load, guards nothing
