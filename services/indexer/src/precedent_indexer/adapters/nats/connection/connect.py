"""Connects to NATS: checks the files first, distinguishes refusals from outages, and has a time limit."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

import nats.errors

from precedent_indexer.adapters.nats.connection.client import CertificateWantedError, TolerantClient
from precedent_indexer.adapters.nats.connection.credentials import checked_creds, tls_context
from precedent_indexer.adapters.nats.connection.denials import noticed
from precedent_indexer.errors import NotPermitted, SettingsWrong, StartDenied, StartRefused
from precedent_indexer.settings import Settings, without_secrets
from precedent_schemas.servers import parse_addresses

_PING_INTERVAL_S: Final = 5
"""With at most two outstanding pings, a server that hangs is detected within 15 seconds."""
RECONNECT_WAIT_S: Final = 0.5
"""Seconds between two attempts to reach a server."""
_CANCELLATIONS: Final = 4
_GIVE_UP_S: Final = 2.0


class Admission:
    """Credentials of a client, and whether the servers accept them, at the first connect and at every reconnect."""

    def __init__(self, client: TolerantClient, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._servers = parse_addresses(settings.nats_url)
        self._failures: list[Exception] = []
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, error: Exception) -> None:
        """Note an error of the connection; refusals by every server end the attempts."""
        self._failures.append(error)
        refusals = [one for one in self._failures if _is_refusal(one)]
        if len(refusals) >= len(self._servers) and not self._refused.done():
            self._refused.set_result(None)

    @property
    def is_refused(self) -> bool:
        """Whether every server has refused us since the last connect."""
        return self._refused.done()

    def granted(self) -> None:
        """Note that the connection is up."""
        self._failures.clear()

    async def connect(self, name: str, **callbacks: Callable[..., Awaitable[None]]) -> None:
        """Connect, with retries for `precedent_start_timeout_s` seconds; `callbacks` are those of the library.

        Raises:
            StartRefused: no server was reached, or it refused us; the message says which server and why.
        """
        options = await asyncio.to_thread(self._options, name) | callbacks
        attempt = asyncio.ensure_future(self._client.connect(**options))
        try:
            either: set[asyncio.Future[Any]] = {attempt, self._refused}
            patience = self._settings.precedent_start_timeout_s
            await asyncio.wait(either, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done():
                raise self.failure(TimeoutError(f"no server answered within {patience:g} s"))
            attempt.result()
            self.granted()
        except StartRefused:
            await self._give_up(attempt)
            raise
        except Exception as error:
            # The library for keys raises exceptions without a common base.
            await self._give_up(attempt)
            raise self.failure(error) from error

    async def _give_up(self, attempt: asyncio.Future[None]) -> None:
        # The library swallows a cancellation at some points, and then continues without end.
        for _ in range(_CANCELLATIONS):
            attempt.cancel()
            done, _ = await asyncio.wait({attempt}, timeout=_GIVE_UP_S / _CANCELLATIONS)
            if done:
                break
        attempt.add_done_callback(noticed)
        # `close` fails if nothing was begun, and has no time limit.
        closing = asyncio.ensure_future(self._client.close())
        await asyncio.wait({closing}, timeout=_GIVE_UP_S)
        closing.cancel()
        closing.add_done_callback(noticed)

    def failure(self, error: Exception) -> StartRefused:
        """The error of the start, for a refusal or for the last `error`."""
        refusals = [one for one in self._failures if _is_refusal(one)]
        # Of refusals the first one is the cause; of outages the last one is the current one.
        why = refusals[0] if refusals else (self._failures or [error])[-1]
        failure = _kind(why)(
            f"no connection to NATS at NATS_URL={without_secrets(self._settings.nats_url)} "
            f"({type(why).__name__}: {str(why)[:200]}): {self._remedy(why)}"
        )
        failure.__cause__ = why
        return failure

    def _remedy(self, why: Exception) -> str:
        chosen = self._settings
        if isinstance(why, ssl.SSLCertVerificationError):
            return (
                "is this the server that is meant, is its certificate still valid, "
                f"and is NATS_CA={chosen.nats_ca or ''} the authority of it?"
            )
        if isinstance(why, nats.errors.SecureConnWantedError):
            return "TLS is demanded here by NATS_CA, NATS_CERT or tls://, and the server does not ask for it"
        if isinstance(why, CertificateWantedError):
            return "give one by NATS_CERT and NATS_KEY"
        if isinstance(why, ssl.SSLError) or (chosen.nats_cert and isinstance(why, OSError)):
            return f"does the server take the certificate NATS_CERT={chosen.nats_cert or ''}, and is that still valid?"
        if _is_refusal(why) or not isinstance(why, OSError | nats.errors.Error):
            return (
                f"the credentials are not good there: we are {self._who()}, "
                "by NATS_CREDS, NATS_NKEY, NATS_USER, NATS_TOKEN or NATS_URL"
            )
        return "start the server there, or correct NATS_URL and the other NATS_ settings"

    def _who(self) -> str:
        chosen = self._settings
        given = chosen.nats_creds or chosen.nats_nkey or chosen.nats_user
        if given is None and (chosen.nats_token or any(server.token for server in self._servers)):
            return "who has a token"
        return str(given or next((server.user for server in self._servers if server.user), "nobody"))

    def _renew(self) -> None:
        """Read the TLS files again; the library reads a credentials file at each connect."""
        try:
            if self._settings.nats_creds:
                checked_creds(self._settings.nats_creds)
            if self._client.demands_tls:
                self._client.options["tls"] = tls_context(self._settings)
        except SettingsWrong as error:
            # The next connect tries again: the file may just be being written.
            raise nats.errors.Error(str(error)) from error

    def _options(self, name: str) -> dict[str, Any]:
        chosen = self._settings
        self._client.demands_tls = bool(
            chosen.nats_ca or chosen.nats_cert or any(server.wants_tls for server in self._servers)
        )
        if not (chosen.nats_user or chosen.nats_token):
            self._client.given_servers = self._servers
        options: dict[str, Any] = {
            "servers": [server.url for server in self._servers],
            "name": name,
            "connect_timeout": 5,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_WAIT_S,
            "ping_interval": _PING_INTERVAL_S,
            "max_outstanding_pings": 2,
            "inbox_prefix": chosen.nats_inbox_prefix,
        }
        if chosen.nats_creds:
            options["user_credentials"] = checked_creds(chosen.nats_creds)
        if chosen.nats_nkey:
            options["nkeys_seed"] = str(chosen.nats_nkey)
        if chosen.nats_user:
            options["user"] = chosen.nats_user
            options["password"] = chosen.nats_password.get_secret_value() if chosen.nats_password else ""
        if chosen.nats_token:
            options["token"] = chosen.nats_token.get_secret_value()
        self._client.renew = self._renew
        if self._client.demands_tls:
            options["tls"] = tls_context(chosen)
            self._client.shows_certificate = chosen.nats_cert is not None
        return options


def cannot_be_heard(error: NotPermitted, settings: Settings) -> StartDenied:
    """The error of a start whose connection may not subscribe to its inbox."""
    return StartDenied(f"connected to NATS at NATS_URL={without_secrets(settings.nats_url)}, but {error}")


def _kind(why: Exception) -> type[StartRefused]:
    if _is_refusal(why):
        return StartDenied
    # An error of the library for keys: the file holds no valid key.
    return StartRefused if isinstance(why, OSError | nats.errors.Error) else SettingsWrong


def _is_refusal(error: Exception) -> bool:
    return isinstance(error, ssl.SSLError | nats.errors.SecureConnWantedError | CertificateWantedError) or (
        "authorization violation" in str(error).lower()
    )
