"""Addresses of NATS servers as `NATS_URL` gives them: one parser, so that both sides take the same forms.

| form | meaning |
| --- | --- |
| `nats://host:4222`, `host:4222`, `host` | TLS where the server or another setting asks for it; port 4222 if absent |
| `tls://host:4222` | the same, and TLS is demanded |
| `nats://user:password@host` | both percent-decoded |
| `nats://token@host` | a token, percent-decoded |
| several, separated by commas | servers of one cluster |

Every other scheme is refused by its name, `ws` and `wss` too: plain TCP would carry the password in clear.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeGuard
from urllib.parse import unquote_to_bytes, urlsplit

DEFAULT_PORT: Final = 4222
SCHEMES: Final = ("nats", "tls")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_USER_INFO: Final = re.compile(r"(?P<scheme>[A-Za-z+]+://)?(?:(?!,\s*[A-Za-z+]+://).)*@", re.DOTALL)
"""All that stands before the last `@` of an address: a password may hold any character, another `@` too."""
_ENCODE: Final = "write % / ? # , of a user, password or token as %25 %2F %3F %23 %2C"


class AddressError(ValueError):
    """No address of a NATS server; the message names it with user, password and token masked."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """One server, and who its URL says that we are; `url` is `scheme://host:port`, without user or password."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    @property
    def wants_tls(self) -> bool:
        """Whether the URL itself demands TLS."""
        return self.url.startswith("tls://")

    @property
    def has_identity(self) -> bool:
        """Whether the URL names a user or a token."""
        return self.user is not None or self.token is not None


def parse_addresses(urls: str | Sequence[str]) -> list[ServerAddress]:
    """The servers of a comma-separated list, or of several strings; at least one.

    Raises:
        AddressError: one is none; the message shows the list with every user, password and token masked.
    """
    if isinstance(urls, str):
        # Masked as a whole: a password with a comma in it would be cut, and its first half shown.
        return [_parsed(one.strip(), masked(urls)) for one in urls.split(",")]
    return [_parsed(one.strip(), masked(one)) for one in urls]


def _parsed(text: str, shown: str) -> ServerAddress:
    try:
        parts = urlsplit(text if _SCHEME.match(text) else f"nats://{text}")
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        # Not as its cause, whose text quotes the part that is no port: half a password, perhaps.
        raise AddressError(f"{shown!r} is no address: give nats://host:{DEFAULT_PORT}; {_ENCODE}") from None
    if parts.scheme not in SCHEMES:
        raise AddressError(
            f"{shown!r} has the scheme {parts.scheme!r}, which is not supported (nor are WebSockets): "
            f"give nats://host:{DEFAULT_PORT} or tls://host:{DEFAULT_PORT}"
        )
    if not _is_host(parts.hostname) or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise AddressError(f"{shown!r} is not scheme, host and port alone: {_ENCODE}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    user, password = _decoded(parts.username, shown), _decoded(parts.password, shown)
    # As for the nats command: a name without a password is a token.
    who = (user, password, None) if password is not None else (None, None, user or None)
    return ServerAddress(f"{parts.scheme}://{host}:{port}", *who)


def _is_host(name: str | None) -> TypeGuard[str]:
    return name is not None and name != "" and name.isprintable() and " " not in name


def _decoded(part: str | None, shown: str) -> str | None:
    if part is None:
        return None
    if _BARE_PERCENT.search(part):
        raise AddressError(f"{shown!r}: user, password and token are percent-decoded: {_ENCODE}")
    try:
        return unquote_to_bytes(part).decode()
    except UnicodeDecodeError:
        raise AddressError(f"{shown!r}: user, password or token is not UTF-8 once it is percent-decoded") from None


def masked(urls: str) -> str:
    """Addresses as they may be shown: user, password and token in them are masked."""
    return _USER_INFO.sub(r"\g<scheme>***@", urls)
