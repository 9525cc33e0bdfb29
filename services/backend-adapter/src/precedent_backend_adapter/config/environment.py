"""The `NATS_*` settings as a configuration: the same names as the `nats` command and the indexer have.

| variable | what it is |
| --- | --- |
| `NATS_URL` | one server, or several separated by commas; absent: `nats://127.0.0.1:4222` |
| `NATS_CREDS` | creds file: JWT and seed |
| `NATS_NKEY` | file with an nkey seed |
| `NATS_USER`, `NATS_PASSWORD` | user name and password, both or neither |
| `NATS_TOKEN` | the server's token |
| `NATS_CA` | PEM of the authority that signed the server; demands TLS |
| `NATS_CERT`, `NATS_KEY` | PEM of our own certificate and of its key, both or neither; demand TLS |
| `NATS_INBOX_PREFIX` | subject prefix of replies; absent: `_INBOX` |
| `PRECEDENT_JETSTREAM_DOMAIN` | JetStream domain of the log; absent: that of the server that is connected to |

A variable that is set to nothing counts as absent. Only programs that take their settings from the environment
use this module: the old client in `compat` and the command line. The client itself is given its configuration.
"""

from collections.abc import Mapping
from typing import Final

from precedent_backend_adapter.config import DEFAULT_INBOX_PREFIX, Config, Credentials, Tls, check_urls
from precedent_backend_adapter.errors import Misconfigured

DEFAULT_URL: Final = "nats://127.0.0.1:4222"
"""Where NATS is when `NATS_URL` does not say."""
NAMES: Final = (
    "NATS_URL",
    "NATS_CREDS",
    "NATS_NKEY",
    "NATS_USER",
    "NATS_PASSWORD",
    "NATS_TOKEN",
    "NATS_CA",
    "NATS_CERT",
    "NATS_KEY",
    "NATS_INBOX_PREFIX",
    "PRECEDENT_JETSTREAM_DOMAIN",
)
"""Every variable that is read."""


def config_from_environment(environ: Mapping[str, str]) -> tuple[list[str], Config]:
    """The servers to try, at least one, and everything else that a connection needs.

    Args:
        environ: the variables, as `os.environ` has them.

    Raises:
        Misconfigured: with every problem, and the names of the variables that were set; no value of a secret.
    """
    given = {name: environ[name] for name in NAMES if environ.get(name)}
    found: list[str] = []
    urls: list[str] = []
    config: Config | None = None
    try:
        urls = split_urls(given.get("NATS_URL", DEFAULT_URL))
    except Misconfigured as error:
        found += [f"NATS_URL: {one}" for one in error.found]
    try:
        config = _config(given)
    except Misconfigured as error:
        found += error.found
    if config is None or found:
        found.append(f"the environment sets {', '.join(given) or 'none of the NATS_* variables'}")
        raise Misconfigured(found)
    return urls, config


def split_urls(urls: str) -> list[str]:
    """Servers separated by commas, as a list.

    Raises:
        Misconfigured: with every URL that is none, credentials masked.
    """
    return check_urls(urls)


def _config(given: Mapping[str, str]) -> Config:
    credentials = Credentials(
        creds_file=given.get("NATS_CREDS"),
        nkey_seed_file=given.get("NATS_NKEY"),
        user=given.get("NATS_USER"),
        password=given.get("NATS_PASSWORD"),
        token=given.get("NATS_TOKEN"),
    )
    tls = Tls(ca_file=given.get("NATS_CA"), cert_file=given.get("NATS_CERT"), key_file=given.get("NATS_KEY"))
    return Config(
        credentials=credentials,
        tls=None if tls == Tls() else tls,
        inbox_prefix=given.get("NATS_INBOX_PREFIX", DEFAULT_INBOX_PREFIX),
        jetstream_domain=given.get("PRECEDENT_JETSTREAM_DOMAIN"),
    )
