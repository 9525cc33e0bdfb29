"""How to reach NATS and how long to wait: values, checked once.

Nothing here reads the environment: the program that uses this package decides where settings come from.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Final

from precedent_backend_adapter.errors import Misconfigured
from precedent_schemas.servers import AddressError, parse_addresses

DEFAULT_INBOX_PREFIX: Final = "_INBOX"
_GIVE_URL: Final = "give nats://host:4222 or tls://host:4222"
_HTTP: Final = ("http://", "https://")
_HTTP_HINT: Final = "; this is the address of an HTTP service, give that of the NATS server"
_MASK: Final = "***"
_SECRET: Final = ("password", "token")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who we are: at most one of a creds file, an nkey seed file, user with password, and a token.

    Any of them wins over what the URL says.

    Attributes:
        creds_file: JWT and seed in one file, as `nsc` writes it.
        nkey_seed_file: a user's nkey seed, alone in a file.
        user: user name; sent as it is, so use TLS on any network.
        password: goes with `user`; masked in the repr.
        token: the server's token; masked in the repr, and sent as it is.
    """

    creds_file: Path | str | None = None
    nkey_seed_file: Path | str | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        shown = (f"{one.name}={self._shown(one.name)}" for one in fields(self))
        return f"{type(self).__name__}({', '.join(shown)})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        return repr(_MASK) if name in _SECRET and value is not None else repr(value)

    def problems(self) -> Iterator[str]:
        """What is wrong."""
        yield from _not_paths("credentials", creds_file=self.creds_file, nkey_seed_file=self.nkey_seed_file)
        for name in ("user", "password", "token"):
            if getattr(self, name) is not None and not isinstance(getattr(self, name), str):
                yield f"credentials: {name} is a {type(getattr(self, name)).__name__}; give a string"
        given = [name for name in ("creds_file", "nkey_seed_file", "user", "token") if getattr(self, name)]
        if len(given) > 1:
            yield f"credentials: {' and '.join(given)} are given; choose one"
        if (self.user is None) != (self.password is None):
            yield "credentials: user and password go together; give both or neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Transport security; its presence alone demands TLS, as a `tls://` URL does.

    Attributes:
        ca_file: PEM of the authority that signed the server; absent: the system's.
        cert_file: PEM of our own certificate, where the server asks for one.
        key_file: PEM of its key.
    """

    ca_file: Path | str | None = None
    cert_file: Path | str | None = None
    key_file: Path | str | None = None

    def problems(self) -> Iterator[str]:
        """What is wrong."""
        yield from _not_paths("tls", ca_file=self.ca_file, cert_file=self.cert_file, key_file=self.key_file)
        if (self.cert_file is None) != (self.key_file is None):
            yield "tls: cert_file and key_file go together; give both or neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase may take, in seconds.

    Attributes:
        connect: from the call of `connect` to a usable connection, TLS and authentication included; also how long a
            question waits for a connection that is lost. Some six round trips: more over a slow link.
        publish: one publish call with all its retries.
        publish_attempt: one attempt of it; shorter than `publish`, so that there is time for another.
        question: one question; waiting for `after` comes on top.
        close: leaving; what is still in flight then fails.
    """

    connect: float = 2.0
    publish: float = 10.0
    publish_attempt: float = 2.0
    question: float = 10.0
    close: float = 2.0

    def problems(self) -> Iterator[str]:
        """What is wrong."""
        for one in fields(self):
            value = getattr(self, one.name)
            if not is_duration(value):
                yield f"timeouts: {one.name} is {value!r}; give seconds above 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Pauses between the attempts of one publish call, in seconds; each is drawn at random below its bound.

    Attributes:
        first: bound of the first pause; it doubles from one to the next.
        cap: the bound never grows beyond it.
    """

    first: float = 0.05
    cap: float = 1.0

    def problems(self) -> Iterator[str]:
        """What is wrong."""
        for one in fields(self):
            value = getattr(self, one.name)
            if not is_duration(value):
                yield f"backoff: {one.name} is {value!r}; give seconds above 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxConfig:
    """A file that keeps what is published until the log has it.

    Attributes:
        path: the file, created where there is none, in a directory that exists; on a disk of this machine. One for
            each process and each log.
        max_events: most events and outcomes in it; when it is full, a publish is refused.
        max_bytes: most bytes of messages in it, headers included; the file itself becomes somewhat larger.
    """

    path: Path | str
    max_events: int = 100_000
    max_bytes: int = 256 * 1024 * 1024

    def problems(self) -> Iterator[str]:
        """What is wrong."""
        if not isinstance(self.path, str | Path) or not Path(self.path).name or "\0" in str(self.path):
            yield f"outbox: path is {str(self.path)!r}; name a file"
        for name in ("max_events", "max_bytes"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                yield f"outbox: {name} is {value!r}; give a number above 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be chosen about a client.

    Attributes:
        credentials: who we are.
        tls: transport security; None leaves it to the URL.
        timeouts: by phase.
        backoff: pauses between the attempts of a publish call.
        name: how the connection is called in the server's monitoring.
        inbox_prefix: subject prefix of replies; the credentials must be permitted to subscribe below it.
        outbox: where what is published waits for the log; None: a publish itself waits for it.
        jetstream_domain: JetStream domain of the log; None: that of the server that we connect to.

    Raises:
        Misconfigured: with every problem of every part.
    """

    credentials: Credentials = field(default_factory=Credentials)
    tls: Tls | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    backoff: Backoff = field(default_factory=Backoff)
    name: str = "precedent-backend"
    inbox_prefix: str = DEFAULT_INBOX_PREFIX
    outbox: OutboxConfig | None = None
    jetstream_domain: str | None = None

    def __post_init__(self) -> None:
        found = list(self._problems())
        if found:
            raise Misconfigured(found)

    def _problems(self) -> Iterator[str]:
        for name, wanted in _PARTS.items():
            part = getattr(self, name)
            if isinstance(part, wanted):
                yield from part.problems()
            elif part is not None or name not in _OPTIONAL_PARTS:
                yield f"{name} is a {type(part).__name__}; give a {wanted.__name__}"
        if not isinstance(self.name, str) or not self.name:
            yield f"name is {self.name!r}; give the connection a name"
        if self.jetstream_domain is not None and not (
            isinstance(self.jetstream_domain, str) and _DOMAIN.fullmatch(self.jetstream_domain)
        ):
            yield f"jetstream_domain is {self.jetstream_domain!r}; give a name of letters, digits, - and _"
        if not _is_subject(self.inbox_prefix):
            yield f"inbox_prefix is {self.inbox_prefix!r}; give a subject without wildcards, as in _INBOX.backend"


_PARTS: Final[Mapping[str, type[Credentials | Tls | Timeouts | Backoff | OutboxConfig]]] = {
    "credentials": Credentials,
    "tls": Tls,
    "timeouts": Timeouts,
    "backoff": Backoff,
    "outbox": OutboxConfig,
}
_OPTIONAL_PARTS: Final = ("tls", "outbox")


def _not_paths(part: str, **paths: object) -> Iterator[str]:
    for name, path in paths.items():
        if path is not None and not isinstance(path, str | Path):
            yield f"{part}: {name} is a {type(path).__name__}; give the path of a file"


def is_duration(value: object) -> bool:
    """Whether `value` is a finite number of seconds above 0."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _is_subject(prefix: object) -> bool:
    if not isinstance(prefix, str):
        return False
    tokens = prefix.split(".")
    return all(token.isascii() and token.isprintable() and not set(token) & set(" *>") and token for token in tokens)


def check_urls(url: str | Sequence[str]) -> list[str]:
    """The servers to try, at least one; commas separate several in one string.

    Raises:
        Misconfigured: with every URL that is none; users, passwords and tokens are masked.
    """
    if isinstance(url, str):
        urls = [one.strip() for one in url.split(",")]
    elif isinstance(url, Sequence) and all(isinstance(one, str) for one in url):
        urls = [one.strip() for one in url]
    else:
        raise Misconfigured([f"url is a {type(url).__name__}; {_GIVE_URL}"])
    found = [] if urls else [f"no url is given; {_GIVE_URL}"]
    for one in urls:
        try:
            parse_addresses([one])
        except AddressError as error:
            found.append(f"url {error}{_HTTP_HINT if one.lower().startswith(_HTTP) else ''}")
    if found:
        raise Misconfigured(found)
    return urls
